"""The plan in figures: what will be read, written, kept and needed.

Pure arithmetic over the plan and a few facts that only the caller can know
(free disk, expected memory). The terminal's report and `--json` both come
from this one record, so they can't disagree.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, assert_never

from distexpand.findings import Finding
from distexpand.planning.layout import Layout
from distexpand.planning.model import LayerOrigin, Plan, ShardPlan
from distexpand.planning.operations import (
    AddLowRank,
    Blend,
    Constant,
    Copy,
    Gather,
    Operation,
    Scale,
    Zero,
)
from distexpand.planning.transfer import Transfer
from distexpand.report.picture.runs import is_repeat

_LENGTH_PREFIX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFigures:
    """One output file of weights: its name, bytes and number of tensors."""

    name: str
    size: int
    tensors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSummary:
    """What a plan amounts to. All sizes are bytes; parameters count elements.

    `bytes_written` is the size of all weight shards and the sum of `bytes_copied`,
    `bytes_zero`, `bytes_transformed` and `bytes_headers`; `transfer` has what is read, in
    either layout. `layers_repeated` are layers that repeat a source layer used before,
    `layers_identity` identity blocks (never both); `layers_new` is what a trainer of new
    blocks trains. `disk_free` is `None` where it isn't known; `moves` says how bytes would
    move.
    """

    layers_before: int
    layers_after: int
    layers_repeated: int
    layers_identity: int
    layers_new: int
    parameters_before: int
    parameters_after: int
    tensors: int
    transfer: Transfer
    bytes_written: int
    bytes_copied: int
    bytes_zero: int
    bytes_transformed: int
    bytes_headers: int
    shards: tuple[ShardFigures, ...]
    layers: tuple[LayerOrigin, ...]
    disk_needed: int
    disk_free: int | None
    expected_peak_memory: int
    moves: str
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the document of `--json`; `docs` and tests hold its keys.

        `layers.stack` has one entry per output layer, in order, with the fields of
        `LayerOrigin`. Sizes are bytes. `bytes.read` counts a source byte as often as this run
        reads it, `read_unique` once; `reads` is the same by layout, with shards worked on
        `together` and each `apart`. `disk.free` is null where it isn't known.
        """
        layouts = (self.transfer.planned, self.transfer.other)
        return {
            "layers": {
                "before": self.layers_before,
                "after": self.layers_after,
                "repeated": self.layers_repeated,
                "identity": self.layers_identity,
                "new": self.layers_new,
                "stack": [_layer_json(number, origin) for number, origin in enumerate(self.layers)],
            },
            "parameters": {"before": self.parameters_before, "after": self.parameters_after},
            "tensors": self.tensors,
            "bytes": {
                "read": self.transfer.planned.together,
                "read_unique": self.transfer.needed,
                "written": self.bytes_written,
                "copied": self.bytes_copied,
                "zero": self.bytes_zero,
                "transformed": self.bytes_transformed,
                "headers": self.bytes_headers,
                "side_files": self.transfer.side_files,
            },
            "reads": {
                reads.layout.value: {"together": reads.together, "apart": reads.apart}
                for reads in sorted(layouts, key=lambda reads: reads.layout is not Layout.LAYERS)
            },
            "shards": [asdict(shard) for shard in self.shards],
            "disk": {"needed": self.disk_needed, "free": self.disk_free},
            "io": self.moves,
            "memory": {"expected_peak": self.expected_peak_memory},
            "findings": [asdict(finding) for finding in self.findings],
        }


def summarise(
    plan: Plan,
    *,
    layers_before: int,
    transfer: Transfer,
    disk_needed: int,
    disk_free: int | None,
    expected_peak_memory: int,
    moves: str = "",
    findings: tuple[Finding, ...] = (),
) -> PlanSummary:
    """Return the figures of a plan; `layers_before` is the base model's number of layers.

    `transfer` is that of the same plan.
    """
    operations = [operation for shard in plan.shards for operation in shard.operations]
    written = _written_by_kind(operations)
    shards = tuple(_shard_figures(shard) for shard in plan.shards)
    return PlanSummary(
        layers_before=layers_before,
        layers_after=len(plan.layers),
        layers_repeated=sum(map(is_repeat, plan.layers)),
        layers_identity=sum(origin.identity for origin in plan.layers),
        layers_new=sum(origin.new for origin in plan.layers),
        parameters_before=plan.source_parameters,
        parameters_after=plan.parameters,
        tensors=sum(shard.tensors for shard in shards),
        transfer=transfer,
        bytes_written=transfer.written,
        bytes_copied=written["copied"],
        bytes_zero=written["zero"],
        bytes_transformed=written["transformed"],
        bytes_headers=sum(len(shard.header) for shard in plan.shards),
        shards=shards,
        layers=plan.layers,
        disk_needed=disk_needed,
        disk_free=disk_free,
        expected_peak_memory=expected_peak_memory,
        moves=moves,
        findings=findings,
    )


def _layer_json(number: int, origin: LayerOrigin) -> dict[str, Any]:
    return {"output": number, **asdict(origin)}


def _shard_figures(shard: ShardPlan) -> ShardFigures:
    """Read the number of tensors off the header, the one place that has it."""
    end = _LENGTH_PREFIX + int.from_bytes(shard.header[:_LENGTH_PREFIX], "little")
    entries = json.loads(shard.header[_LENGTH_PREFIX:end])
    return ShardFigures(name=shard.name, size=shard.size, tensors=len(entries) - ("__metadata__" in entries))


def _written_by_kind(operations: Iterable[Operation]) -> dict[str, int]:
    written: dict[str, int] = defaultdict(int)
    for operation in operations:
        match operation:
            case Copy() | Gather():
                written["copied"] += operation.length
            case Zero():
                written["zero"] += operation.length
            case Constant() | Scale() | Blend() | AddLowRank():
                written["transformed"] += operation.length
            case _:
                assert_never(operation)
    return written
