"""Plain Kubernetes objects by Kubernetes' own schemas, and what all pods have in common."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.cluster_files import manifests

DOCUMENTS = manifests.documents()
PLAIN = {name: found for name, found in DOCUMENTS.items() if not found["apiVersion"].startswith("ray.io")}
PODS = [
    pytest.param(template, id=f"{name}-{number}")
    for name, found in DOCUMENTS.items()
    for number, template in enumerate(manifests.pod_templates(found))
]
# The oldest that is still looked after, and the newest that the checker knows.
VERSIONS = ["1.34", kubernetes_validate.latest_version()]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", PLAIN)
def test_objects_fit_their_schema(name: str, version: str) -> None:
    kubernetes_validate.validate(PLAIN[name], version, strict=True)


def test_the_schema_knows_a_misspelt_field() -> None:
    wrong = json.loads(json.dumps(PLAIN["cronjob.yaml"]))
    wrong["spec"]["concurencyPolicy"] = "Forbid"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("template", PODS)
def test_pods_meet_the_restricted_standard(template: dict[str, Any]) -> None:
    for container in template["spec"]["containers"]:
        context = container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] != 0
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["resources"]["requests"]["memory"]
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("template", PODS)
def test_pods_have_the_label_that_the_policy_looks_for(template: dict[str, Any]) -> None:
    policy = DOCUMENTS["networkpolicy.yaml"]["spec"]
    wanted = policy["podSelector"]["matchLabels"]
    assert template["metadata"]["labels"].items() >= wanted.items()
    assert policy["ingress"][0] == {"from": [{"podSelector": {"matchLabels": wanted}}]}


@pytest.mark.parametrize("template", PODS)
def test_pods_take_rays_settings_from_one_place(template: dict[str, Any]) -> None:
    for container in template["spec"]["containers"]:
        assert {"configMapRef": {"name": "distexpand-ray"}} in container["envFrom"]
        literal = [variable["name"] for variable in container.get("env", []) if "value" in variable]
        assert not [name for name in literal if "TOKEN" in name or name in manifests.settings()]


def test_ports_are_closed_but_to_those_who_need_them() -> None:
    rules = DOCUMENTS["networkpolicy.yaml"]["spec"]["ingress"]
    open_ports = {port["port"] for rule in rules for port in rule.get("ports", [])}
    assert open_ports == {8265, 8080}
    assert all(rule["from"] for rule in rules)


def test_a_scheduled_job_ends_and_is_tried_again() -> None:
    spec = DOCUMENTS["cronjob.yaml"]["spec"]
    job = spec["jobTemplate"]["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert 0 < job["activeDeadlineSeconds"] < 86_400
    assert 0 < job["backoffLimit"] < 10
    container = job["template"]["spec"]["containers"][0]
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["containerName"] == container["name"]
    cluster = DOCUMENTS["raycluster.yaml"]["metadata"]["name"]
    assert container["command"][-1] == f"http://{cluster}-head-svc:8265"
    assert container["env"][0]["valueFrom"]["secretKeyRef"] == {"name": cluster, "key": "auth_token"}


@pytest.mark.parametrize(("ends", "code"), [(0, 0), (1, 1), (2, 2), (75, 0), (130, 130)])
def test_the_entry_point_hands_on_how_the_batch_ended(tmp_path: Path, ends: int, code: int) -> None:
    program = tmp_path / "distexpand"
    program.write_text(f'#!/bin/sh\necho "$@"\nexit {ends}\n')
    program.chmod(0o755)
    script = manifests.CLUSTER / "kuberay" / "run-batch.sh"
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", str(script), "/config/batch.yml"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (code, "batch /config/batch.yml --address auto\n")


def test_entry_points_name_files_that_are_there() -> None:
    mounted = {"run-batch.sh": "kuberay/run-batch.sh", "batch.yml": "batch.yml"}
    named = set(re.findall(r"/config/([\w.-]+)", json.dumps(DOCUMENTS)))
    assert named == set(mounted)
    assert all((manifests.CLUSTER / file).is_file() for file in mounted.values())
    readme = (manifests.CLUSTER / "kuberay" / "README.md").read_text()
    assert all(f"--from-file=cluster/{file}" in readme for file in mounted.values())
