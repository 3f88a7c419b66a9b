"""Ray's own cluster files, by its schema and by the code of `ray up`; each finds what the other misses."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray.autoscaler
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.cluster_files import manifests

SCHEMA = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
FILES = {path.name: manifests.load(path) for path in (manifests.CLUSTER / "autoscaler").glob("*.yml")}


def prepared(name: str) -> dict[str, Any]:
    found: dict[str, Any] = prepare_config(copy.deepcopy(FILES[name]))
    return found


def test_the_three_providers_are_here() -> None:
    assert {found["provider"]["type"] for found in FILES.values()} == {"aws", "gcp", "local"}


@pytest.mark.parametrize("name", FILES)
def test_ray_takes_the_file(name: str) -> None:
    jsonschema.validate(FILES[name], SCHEMA)
    validate_config(prepared(name))


@pytest.mark.parametrize("name", FILES)
def test_nodes_share_rays_settings_and_the_token_file(name: str) -> None:
    options = FILES[name]["docker"]["run_options"]
    found = dict(option.removeprefix("--env=").split("=", 1) for option in options if "--env=" in option)
    assert found == manifests.settings()
    assert FILES[name]["file_mounts"] == {"/home/ray/.ray/auth_token": "~/.ray/auth_token"}


@pytest.mark.parametrize("name", FILES)
def test_nodes_see_the_shared_files_in_their_containers(name: str) -> None:
    assert "--volume=/models:/models" in FILES[name]["docker"]["run_options"]
    assert "/models" in FILES[name]["initialization_commands"][-1]


@pytest.mark.parametrize("name", FILES)
def test_the_head_runs_no_transfers_and_workers_two(name: str) -> None:
    config = prepared(name)
    assert "--num-cpus=0" in config["head_start_ray_commands"][-1]
    kinds = config["available_node_types"]
    workers = [kind for key, kind in kinds.items() if key != config["head_node_type"]]
    said_by_node = "--resources='{\"io\": 2}'" in config["worker_start_ray_commands"][-1]
    assert said_by_node or [kind["resources"]["io"] for kind in workers] == [2]


@pytest.mark.parametrize("name", ["aws.yml", "gcp.yml"])
def test_clouds_scale_from_nothing_and_never_reuse_a_stopped_node(name: str) -> None:
    config = prepared(name)
    assert config["available_node_types"]["worker"]["min_workers"] == 0
    assert config["max_workers"] == config["available_node_types"]["worker"]["max_workers"] == 8
    assert config["provider"]["cache_stopped_nodes"] is False


def test_all_machines_of_the_list_stay() -> None:
    (kind,) = prepared("machines.yml")["available_node_types"].values()
    assert kind["min_workers"] == kind["max_workers"] == 3
