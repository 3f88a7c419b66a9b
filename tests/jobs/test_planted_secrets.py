"""Secrets that a cluster and its clients hold are written nowhere."""

import base64
import json
import secrets
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.jobs.clients import SECRETS, Client
from tests.support.ray_cluster import RayCluster

PLANTED = {name: value for name, value in SECRETS.items() if name != "RAY_AUTH_MODE"}
OWN = {"HF_TOKEN": f"hf_{secrets.token_hex(17)}", "SOME_PASSWORD": secrets.token_hex(16)}


def test_secrets_are_found_nowhere(cluster: RayCluster, recipe: Path, model: Path, tmp_path: Path) -> None:
    client = Client(cluster, **OWN)
    output = tmp_path / "out"
    submit = ("submit", recipe, output, "--model", f"a={model}", "--shard-size", "5000B")
    said = [client(*submit, "-v")]
    assert said[0].code == 0, said[0].err
    said.append(client(*submit[:2], tmp_path / "other", "--model", f"a={tmp_path}/none", "--json"))
    assert said[1].code == 2
    job = client.jobs_for(output)[0]["job"]
    said += [client("jobs", "logs", job), client("jobs", "status", job, "--json")]

    wanted = dict(_spellings(PLANTED | OWN))
    found = [f"said: {name}" for one in said for name in _in((one.out + one.err).encode(), wanted)]
    found += [f"API: {name}" for name in _in(_told_by_the_api(cluster), wanted)]
    looked = 0
    for place in (cluster.directory, output, tmp_path / "other"):
        for path, raw in _files(place):
            looked += 1
            found += [f"{path}: {name}" for name in _in(raw, wanted)]
    assert found == []
    assert looked > 50
    assert _in(json.dumps(SECRETS).encode(), wanted), "the search itself finds nothing"


def _told_by_the_api(cluster: RayCluster) -> bytes:
    """Jobs with their metadata, runtime environments and entry points, once as read and once unpacked."""
    told = json.loads(_get(cluster, "/api/jobs/"))
    assert any(entry["runtime_env"].get("env_vars", {}).get("DISTEXPAND_REQUEST") for entry in told)
    return json.dumps(told).encode() + b"".join(_unpacked(told))


def _unpacked(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "DISTEXPAND_REQUEST":
                yield zlib.decompress(base64.b64decode(item))
            yield from _unpacked(item)
    elif isinstance(value, list):
        for item in value:
            yield from _unpacked(item)


def _get(cluster: RayCluster, path: str) -> bytes:
    token = {"Authorization": f"Bearer {SECRETS['RAY_AUTH_TOKEN']}"}
    request = urllib.request.Request(cluster.dashboard_url + path, headers=token)
    with urllib.request.urlopen(request, timeout=30) as answer:
        raw: bytes = answer.read()
    return raw


def _spellings(planted: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    for name, value in planted.items():
        yield name, value.encode()
        yield f"{name} in base64", base64.b64encode(value.encode()).rstrip(b"=")[:-1]


def _in(raw: bytes, wanted: dict[str, bytes]) -> list[str]:
    return [name for name, value in wanted.items() if value in raw]


def _files(place: Path) -> Iterator[tuple[Path, bytes]]:
    for path in place.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path, path.read_bytes()


def test_without_the_token_a_client_is_refused_and_told_so(cluster: RayCluster) -> None:
    for environment in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN": secrets.token_hex(32)}):
        refused = Client(cluster, **environment)("jobs", "list")
        assert refused.code == 2
        assert "RAY_AUTH_MODE=token" in refused.err
        assert environment.get("RAY_AUTH_TOKEN", "no token") not in refused.err


def test_credentials_are_refused_before_they_travel(
    cluster: RayCluster, recipe: Path, model: Path, tmp_path: Path
) -> None:
    client = Client(cluster, **OWN)
    recipe.write_text(f"# {OWN['SOME_PASSWORD']}\n{recipe.read_text()}")
    refused = client("submit", recipe, tmp_path / "out", "--model", f"a={model}")
    assert refused.code == 2
    assert "line 1: holds what looks like the value of the environment's SOME_PASSWORD" in refused.err
    assert OWN["SOME_PASSWORD"] not in refused.err
    assert client.jobs_for(tmp_path / "out") == []
