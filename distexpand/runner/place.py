"""An output's place: a directory here, or an address elsewhere; and what lies there, as a checkpoint."""

from pathlib import Path

from distexpand.planning.model import Plan
from distexpand.storage.address import Address
from distexpand.storage.local import LocalSource
from distexpand.storage.opening import open_store
from distexpand.storage.ranges import SourceStore
from distexpand.storage.scratch import is_streamed

Output = Path | Address
"""A directory here, or a place elsewhere."""

STAGED_SHARDS = 2
"""Shards that lie here at most on their way: one is made while another is sent."""


def output_store(output: Output) -> SourceStore:
    """Return an output as a checkpoint to read; raises as `open_store`."""
    return LocalSource(output) if isinstance(output, Path) else open_store(str(output))


def staged_bytes(plan: Plan, output: Address) -> int:
    """Return the bytes of disk that a run takes here while its output goes elsewhere."""
    if is_streamed(output.scheme):
        return 0
    return sum(sorted((shard.size for shard in plan.shards), reverse=True)[:STAGED_SHARDS])
