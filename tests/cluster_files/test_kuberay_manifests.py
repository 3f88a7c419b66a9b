"""KubeRay's objects: by their schemas, and by what the operator refuses beyond them."""

import json
import re
from typing import Any

import jsonschema
import pytest

from tests.cluster_files import manifests

DOCUMENTS = manifests.documents()
OWN = {name: found for name, found in DOCUMENTS.items() if found["apiVersion"] == "ray.io/v1"}
NAME_LENGTHS = {"RayCluster": 63 - len("-worker-io-abcde"), "RayJob": 47, "RayCronJob": 36}
CRON_FIELD = r"(\*|\d+(-\d+)?)(/\d+)?(,(\*|\d+(-\d+)?)(/\d+)?)*"


def job_spec(found: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = found["spec"]
    return spec["jobTemplate"] if found["kind"] == "RayCronJob" else spec


def cluster_spec(found: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = found["spec"]
    return spec if found["kind"] == "RayCluster" else job_spec(found)["rayClusterSpec"]


def job_mistakes(spec: dict[str, Any]) -> list[str]:
    """Return what the operator would refuse in a RayJob's spec."""
    rules = {
        "one of rayClusterSpec and clusterSelector": ("rayClusterSpec" in spec)
        != ("clusterSelector" in spec),
        "suspend needs shutdownAfterJobFinishes": not spec.get("suspend")
        or bool(spec.get("shutdownAfterJobFinishes")),
        "no backoffLimit with clusterSelector": "clusterSelector" not in spec
        or not spec.get("backoffLimit", 0),
        "a submissionMode that is known": spec.get("submissionMode", "K8sJobMode")
        in {"K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode"},
        "no ttlSecondsAfterFinished without shutdown": "ttlSecondsAfterFinished" not in spec
        or bool(spec.get("shutdownAfterJobFinishes")),
        "a deadline after now": spec.get("activeDeadlineSeconds", 1) > 0,
    }
    return [rule for rule, kept in rules.items() if not kept]


def test_all_three_kinds_are_here() -> None:
    assert {found["kind"] for found in OWN.values()} == set(NAME_LENGTHS)


@pytest.mark.parametrize("name", OWN)
def test_objects_fit_their_schema(name: str) -> None:
    found = OWN[name]
    file = manifests.kuberay_schemas() / f"{found['kind'].lower()}.v1.schema.json"
    validator = jsonschema.Draft7Validator(json.loads(file.read_text()))
    assert [error.message for error in validator.iter_errors(found)] == []


def test_the_schemas_know_a_misspelt_field() -> None:
    found = json.loads(json.dumps(OWN["raycluster.yaml"]))
    found["spec"]["workerGroupSpecs"][0]["maxReplica"] = 3
    file = manifests.kuberay_schemas() / "raycluster.v1.schema.json"
    validator = jsonschema.Draft7Validator(json.loads(file.read_text()))
    assert len(list(validator.iter_errors(found))) == 1


@pytest.mark.parametrize("name", OWN)
def test_names_leave_room_for_what_the_operator_adds(name: str) -> None:
    found = OWN[name]
    assert len(found["metadata"]["name"]) <= NAME_LENGTHS[found["kind"]]
    assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", found["metadata"]["name"])


@pytest.mark.parametrize("name", ["rayjob.yaml", "raycronjob.yaml"])
def test_the_operator_takes_the_job(name: str) -> None:
    assert job_mistakes(job_spec(OWN[name])) == []


def test_what_the_operator_refuses_is_found() -> None:
    both = {"rayClusterSpec": {}, "clusterSelector": {}, "backoffLimit": 1, "suspend": True}
    assert len(job_mistakes(both | {"submissionMode": "Http", "ttlSecondsAfterFinished": 5})) == 5
    assert len(job_mistakes({"activeDeadlineSeconds": 0})) == 2


@pytest.mark.parametrize("name", ["raycronjob.yaml", "cronjob.yaml"])
def test_schedules_have_five_fields_and_their_zone_apart(name: str) -> None:
    spec = DOCUMENTS[name]["spec"]
    fields = spec["schedule"].split()
    assert len(fields) == 5
    assert all(re.fullmatch(CRON_FIELD, field) for field in fields)
    assert spec["timeZone"]


def test_the_feature_gate_is_said() -> None:
    for file in ("raycronjob.yaml", "README.md"):
        assert "RayCronJob=true" in (manifests.CLUSTER / "kuberay" / file).read_text()


@pytest.mark.parametrize("name", OWN)
def test_every_cluster_is_the_same_but_for_its_image(name: str) -> None:
    images = re.compile(r'"image": "[^"]+"')
    wanted, found = (
        images.sub("", json.dumps(cluster_spec(OWN[file]), sort_keys=True))
        for file in ("raycluster.yaml", name)
    )
    assert found == wanted


@pytest.mark.parametrize("name", OWN)
def test_a_cluster_scales_asks_for_tokens_and_keeps_its_head_free(name: str) -> None:
    spec = cluster_spec(OWN[name])
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["enableInTreeAutoscaling"]
    assert spec["autoscalerOptions"]["idleTimeoutSeconds"] > 0
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group in spec["workerGroupSpecs"]:
        assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        # In quotes of its own, which a shell takes away.
        assert json.loads(json.loads(group["rayStartParams"]["resources"])) == {"io": 2}
        # The operator refuses resources in both places.
        assert "resources" not in group


@pytest.mark.parametrize("name", OWN)
def test_head_and_workers_see_the_same_directory(name: str) -> None:
    spec = cluster_spec(OWN[name])
    claims = []
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        volumes = {volume["name"]: volume.get("persistentVolumeClaim") for volume in pod["volumes"]}
        claims.append((mounts["models"], volumes["models"]["claimName"]))
    assert set(claims) == {("/models", DOCUMENTS["storage.yaml"]["metadata"]["name"])}
    assert DOCUMENTS["storage.yaml"]["spec"]["accessModes"] == ["ReadWriteMany"]
