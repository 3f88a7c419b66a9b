"""The shard index, `model.safetensors.index.json`: which file holds which tensor.

File names in an index come from strangers: only plain names are let through,
so that no index can make the program read or write outside a checkpoint.
"""

import json
import re
from collections.abc import Mapping

from distexpand.errors import CheckpointError
from distexpand.formats.json_text import brief, load_json_object

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
BIN_INDEX_NAME = "pytorch_model.bin.index.json"
BIN_SINGLE_NAME = "pytorch_model.bin"

_SHARD_NAME = re.compile(r"model-[0-9]{5,}-of-[0-9]{5,}\.safetensors")


def shard_name(position: int, count: int) -> str:
    """Return the Hub's conventional name of shard `position` (from 1) of `count`."""
    return SINGLE_NAME if count == 1 else f"model-{position:05d}-of-{count:05d}.safetensors"


def is_shard_name(name: str) -> bool:
    """Whether a file name is one that `shard_name` gives."""
    return name == SINGLE_NAME or _SHARD_NAME.fullmatch(name) is not None


def parse_index(raw: bytes, *, origin: str, suffix: str = ".safetensors") -> dict[str, str]:
    """Return the weight map: tensor name to file name.

    Args:
        raw: the index.
        origin: what to name in an error.
        suffix: what the names of this index's shards end with.

    Raises:
        CheckpointError: no weight map, or a file name that isn't plain or of another kind.
    """
    weight_map = load_json_object(raw, origin=origin).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{origin}: expected a non-empty object under 'weight_map'")
    checked: set[str] = set()
    for tensor, name in weight_map.items():
        if isinstance(name, str) and name in checked:
            continue
        if not is_plain_name(name):
            raise CheckpointError(
                f"{origin}: weight_map[{brief(tensor)}]: {brief(name)} is not a plain file name",
                hint="An index may only name files that lie beside it.",
            )
        if not name.endswith(suffix):
            raise CheckpointError(
                f"{origin}: weight_map[{brief(tensor)}]: {brief(name)} is not a {suffix} file"
            )
        checked.add(name)
    return weight_map


def is_plain_name(name: object) -> bool:
    """Whether a value is a file name without any folder, in no system's spelling."""
    if not isinstance(name, str) or name in {"", ".", ".."}:
        return False
    return not any(char in "/\\:" or ord(char) < ord(" ") for char in name)


def is_plain_path(name: object) -> bool:
    """Whether a value is a path of plain names, below the folder that it is relative to."""
    return isinstance(name, str) and all(is_plain_name(part) for part in name.split("/"))


def encode_index(weight_map: Mapping[str, str], *, total_size: int, total_parameters: int) -> str:
    """Return the index as text; `total_size` is the bytes of all tensors."""
    document = {
        "metadata": {"total_parameters": total_parameters, "total_size": total_size},
        "weight_map": dict(sorted(weight_map.items())),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
