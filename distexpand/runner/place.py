"""An output's place: a directory here, or an address elsewhere; and what lies there, as a checkpoint."""

from pathlib import Path

from distexpand.errors import UsageError
from distexpand.planning.model import Plan
from distexpand.storage.address import FILE, WEB, Address, parse_address
from distexpand.storage.local.scratch import is_streamed
from distexpand.storage.opening import open_directory, open_store
from distexpand.storage.ranges import SourceStore

Output = Path | Address
"""A directory here, or a place elsewhere."""

STAGED_SHARDS = 2
"""Shards that lie here at most on their way: one is made while another is sent."""


def output_store(output: Output) -> SourceStore:
    """Return an output as a checkpoint to read, packed or not; raises as `open_store`."""
    return open_directory(output) if isinstance(output, Path) else open_store(str(output))


def staged_bytes(plan: Plan, output: Address) -> int:
    """Return the bytes of disk that a run takes here while its output goes elsewhere."""
    if is_streamed(output.scheme):
        return 0
    return sum(sorted((shard.size for shard in plan.shards), reverse=True)[:STAGED_SHARDS])


def parse_output(text: str) -> Output:
    """Return the path or the address that a text names.

    Raises:
        UsageError: an address of no known kind, or one that can only be read.
    """
    address = parse_address(text)
    if address is None:
        return Path(text)
    if address.scheme == FILE:
        return Path(address.path)
    if address.scheme in WEB:
        raise UsageError(
            f"{address}: a web server can't be written to",
            hint="Write to a directory, a bucket (s3://, gs://, az://) or the Hub (hf://OWNER/NAME).",
        )
    return address
