"""How long a plan takes at given rates on one machine: the longest of what goes on at once.

A lower bound, for the page whose reader turns the knobs: reading, writing and either
direction of a link overlap, so the slowest of them holds the work up. What shards,
starts and requests add is the cost model's subject (`planning.cost.model`), which the page
shows beside this where a cluster was asked about. The page's script has the same
arithmetic; a test holds them together.
"""

from dataclasses import dataclass

from distexpand.planning.transfer import Transfer


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Bytes a second of a disk and of a link each way, and what lies beyond the link."""

    disk_read: float = 3e9
    disk_write: float = 2e9
    network: float = 1.25e9
    sources_remote: bool = False
    output_remote: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Bytes by where the output is: read with shards together or apart, written without or with zeros."""

    read: int
    read_apart: int
    written: int
    written_apart: int


def moved(transfer: Transfer) -> Moved:
    """Return the bytes of a plan: shards together on a disk, each for itself to an output elsewhere."""
    return Moved(
        read=transfer.planned.together,
        read_apart=transfer.planned.apart,
        written=transfer.written - transfer.zeros,
        written_apart=transfer.written,
    )


def stage_seconds(bytes_moved: Moved, rates: Rates) -> dict[str, float]:
    """Return the seconds of each resource that is used; the longest is how long the work takes at least."""
    read = bytes_moved.read_apart if rates.output_remote else bytes_moved.read
    write = bytes_moved.written_apart if rates.output_remote else bytes_moved.written
    return {
        **({"network in": read / rates.network} if rates.sources_remote else {}),
        **({} if rates.sources_remote else {"disk read": read / rates.disk_read}),
        **({"network out": write / rates.network} if rates.output_remote else {}),
        **({} if rates.output_remote else {"disk write": write / rates.disk_write}),
    }


def time_words(stages: dict[str, float]) -> tuple[str, float]:
    """Return what holds the work up and for how many seconds."""
    slowest = max(stages, key=lambda name: stages[name])
    return slowest, stages[slowest]
