"""Reading a plan: what its config changes, and which source tensor each output tensor is copied from."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from distexpand.api import PlannedExpansion
from distexpand.planning.operations import Copy
from tests.support.published_model import PublishedModel

GONE = "gone"


def changes(model: PublishedModel, planned: PlannedExpansion) -> dict[str, Any]:
    """Return the config values that differ from the published ones, by path; `GONE` for a lost key."""
    before = _flat(model.config, "")
    after = _flat(json.loads(planned.plan.texts[0].text), "")
    changed = {path: value for path, value in after.items() if before.get(path, GONE) != value}
    return changed | dict.fromkeys(before.keys() - after.keys(), GONE)


def _flat(config: dict[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def copied(planned: PlannedExpansion) -> dict[str, str]:
    """Return the source tensor that each output tensor is a copy of."""
    names = _names_by_place(Path(dict(planned.plan.locations)["source"]))
    origins = {}
    for shard in planned.plan.shards:
        at = _names_by_offset(shard.header)
        for operation in shard.operations:
            assert isinstance(operation, Copy)
            file = planned.plan.sources[operation.source].path
            origins[at[operation.offset]] = names[file][operation.source_offset]
    return origins


def _names_by_place(source: Path) -> dict[str, dict[int, str]]:
    names = {}
    for path in source.glob("*.safetensors"):
        with path.open("rb") as file:
            length = file.read(8)
            names[path.name] = _names_by_offset(length + file.read(int.from_bytes(length, "little")))
    return names


def _names_by_offset(header: bytes) -> dict[int, str]:
    tensors = json.loads(header[8:])
    tensors.pop("__metadata__")
    return {len(header) + tensor["data_offsets"][0]: name for name, tensor in tensors.items()}


def expected_copies(model: PublishedModel, prefix: str, layers: Iterable[int]) -> dict[str, str]:
    """Return which source tensor each output tensor is to be, for a stack and its new order of layers.

    A layer beyond the count goes behind the new last layer, and what isn't in the stack stays.
    """
    order = list(layers)
    count = model.config.get("text_config", model.config)["num_hidden_layers"]
    places: dict[int, list[int]] = {}
    for position, layer in enumerate(order):
        places.setdefault(layer, []).append(position)
    expected = {}
    for tensor, _, _ in model.tensors(model.config):
        number, _, suffix = tensor.removeprefix(prefix).partition(".")
        if not tensor.startswith(prefix):
            expected[tensor] = tensor
        elif int(number) >= count:
            expected[f"{prefix}{int(number) - count + len(order)}.{suffix}"] = tensor
        else:
            expected |= {f"{prefix}{at}.{suffix}": tensor for at in places.get(int(number), [])}
    return expected
