"""Load a skeleton on the meta device, and judge what transformers says of its keys.

What the source has got as well (a key that the class computes itself, say) is
no fault of the expansion, so the source's skeleton is loaded too, and keys are
compared layer by layer.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distexpand.formats.header import LENGTH_BYTES, Header, header_size, parse_header
from distexpand.proof.request import ProvenLayer, Question

TORCH_NAMES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
}
"""What torch calls a dtype; the packed ones, which it can't hold, count as bytes."""

_KINDS = {"missing_keys": "missing", "unexpected_keys": "unexpected", "mismatched_keys": "of another shape"}
_FIRST_INDEX = re.compile(r"(.*?\.|)([0-9]{1,9})(\..+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSkeleton:
    """A model on the meta device, and the keys that transformers complained of by kind."""

    model: Any
    problems: Mapping[str, frozenset[str]]


def load_skeleton(model_class: Any, config: Any, directory: str) -> LoadedSkeleton:
    """Load a skeleton as transformers loads a checkpoint, without its data.

    Raises:
        Exception: whatever transformers raises.
    """
    _tell_all_unexpected(model_class)
    model, info = model_class.from_pretrained(
        None,
        config=config,
        state_dict=_tensors(Path(directory)),
        device_map="meta",
        dtype="auto",
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    problems = {kind: frozenset(map(_key, info.get(kind) or ())) for kind in _KINDS}
    return LoadedSkeleton(model=model, problems=problems)


def key_problem(base: LoadedSkeleton, output: LoadedSkeleton, question: Question) -> str:
    """Say which key is missing, unexpected or mismatched as none is in the source, or nothing."""
    for kind, words in _KINDS.items():
        known = base.problems[kind]
        new = sorted(key for key in output.problems[kind] if not _is_known(key, known, question.layers))
        if new:
            return f"on loading, {new[0]!r} would be {words}{_and_more(new)}"
    return ""


def source_problem(base: LoadedSkeleton) -> str:
    """Say which keys a source itself lacks or has in another shape, or nothing.

    What it has beyond the class's needs is passed over by transformers, and so by this.
    """
    for kind in ("missing_keys", "mismatched_keys"):
        found = sorted(base.problems[kind])
        if found:
            return f"{found[0]!r}{_and_more(found)} {_KINDS[kind]}"
    return ""


def _and_more(keys: Sequence[str]) -> str:
    return f" and {len(keys) - 1} more" if len(keys) > 1 else ""


def _tensors(directory: Path) -> dict[str, Any]:
    """Return an empty tensor for every entry of the skeleton's headers.

    Rejected: safetensors' own reader, which maps each file whole; the system may refuse to
    promise as much memory as a large shard would take.
    """
    import torch  # noqa: PLC0415

    tensors = {}
    for path in sorted(directory.glob("*.safetensors")):
        for name, entry in _header(path).tensors.items():
            dtype = getattr(torch, TORCH_NAMES.get(entry.dtype.value, "uint8"))
            tensors[name] = torch.empty(entry.shape, dtype=dtype, device="meta")
    return tensors


def _header(path: Path) -> Header:
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(LENGTH_BYTES)
        length = header_size(prefix, file_size=size, origin=path.name)
        raw = prefix + file.read(length - LENGTH_BYTES)
    return parse_header(raw, file_size=size, origin=path.name)


def _tell_all_unexpected(model_class: Any) -> None:
    """Let a class report every key that it doesn't load.

    It may pass over a layer beyond its count by the number that this has in one published model (GLM-4.5:
    46), but not in the output, where it has another; that the source has such a layer is judged by us.
    """
    for known in model_class.__mro__:
        if "_keys_to_ignore_on_load_unexpected" in vars(known):
            known._keys_to_ignore_on_load_unexpected = None  # noqa: SLF001  # transformers has no other switch


def _key(entry: Any) -> str:
    return entry if isinstance(entry, str) else str(entry[0])


def _is_known(key: str, known: Collection[str], layers: Sequence[ProvenLayer]) -> bool:
    """Whether the base model has the same problem: in the layer's source, or beyond the last layer."""
    match = _FIRST_INDEX.fullmatch(key)
    if key in known or match is None:
        return key in known
    before, index, after = match[1], int(match[2]), match[3]
    if index < len(layers):
        return f"{before}{layers[index].layer}{after}" in known
    found = (_FIRST_INDEX.fullmatch(other) for other in known)
    return any(other and (other[1], other[3]) == (before, after) for other in found)
