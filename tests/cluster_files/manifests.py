"""Where the manifests and their schemas lie, and reading them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"

SCHEMAS_VARIABLE = "DISTEXPAND_KUBERAY_SCHEMAS"


def load(path: Path) -> Any:
    """Return a YAML document."""
    return yaml.safe_load(path.read_text())


def documents() -> dict[str, dict[str, Any]]:
    """Return every Kubernetes object by its file's name."""
    files = sorted([*(CLUSTER / "kuberay").glob("*.yaml"), *(CLUSTER / "kubernetes").glob("*.yaml")])
    return {file.name: load(file) for file in files}


def kuberay_schemas() -> Path:
    """Return the directory of KubeRay's schemas, which aren't part of this repository; skip without it."""
    given = os.environ.get(SCHEMAS_VARIABLE)
    directory = Path(given) if given else ROOT.parent / "shared" / "kuberay"
    if not (directory / "raycluster.v1.schema.json").is_file():
        pytest.skip(f"no KubeRay schemas in {directory}; {SCHEMAS_VARIABLE} says where they are")
    return directory


def settings() -> dict[str, str]:
    """Return the variables of cluster/ray.env."""
    lines = (line.strip() for line in (CLUSTER / "ray.env").read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def pod_templates(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every pod template inside an object."""
    if isinstance(value, dict):
        if "containers" in value.get("spec", {}):
            yield value
        for inner in value.values():
            yield from pod_templates(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from pod_templates(inner)
