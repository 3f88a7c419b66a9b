"""Small plans with real headers, to be summed up."""

import json

from distexpand.formats.dtypes import DType
from distexpand.planning.model import Plan, ShardPlan, SourceFile
from distexpand.planning.operations import Blend, Copy, Scale, Term, Zero


def shard(number, of, kinds, *, metadata=True):
    """A shard whose tensors are made by operations of these kinds, each (kind, bytes, source offset)."""
    entries = {"__metadata__": {"format": "pt"}} if metadata else {}
    offset = 0
    for index, (_, length, _) in enumerate(kinds):
        entries[f"t{number}.{index}"] = {
            "dtype": "BF16",
            "shape": [length // 2],
            "data_offsets": [offset, offset + length],
        }
        offset += length
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    operations, position = [], len(header)
    for kind, length, source_offset in kinds:
        operations.append(operation(kind, position, length, source_offset))
        position += length
    name = f"model-{number:05d}-of-{of:05d}.safetensors"
    return ShardPlan(name=name, header=header, size=position, operations=tuple(operations))


def operation(kind, offset, length, source_offset):
    term = Term(source=0, source_offset=source_offset, dtype=DType.BF16)
    wide = Term(source=1, source_offset=source_offset, dtype=DType.F32)
    number = {"compute": DType.F32, "target": DType.BF16}
    match kind:
        case "copy":
            return Copy(offset=offset, length=length, source=0, source_offset=source_offset)
        case "zero":
            return Zero(offset=offset, length=length)
        case "scale":
            return Scale(offset=offset, length=length, term=wide, factor=0.5, **number)
        case _:
            return Blend(
                offset=offset, length=length, terms=(term, wide), weights=(0.5, 0.5), normalize=True, **number
            )


def plan(shards, layers, *, parameters=1000, source_parameters=800):
    sources = tuple(
        SourceFile(model="m", path=f"{n}.safetensors", size=10**12, pin="0" * 64) for n in range(2)
    )
    return Plan(
        recipe="method: passthrough\n",
        sources=sources,
        shards=tuple(shards),
        texts=(),
        copies=(),
        layers=layers,
        layer_prefix="model.layers.",
        parameters=parameters,
        source_parameters=source_parameters,
        locations=(),
    )
