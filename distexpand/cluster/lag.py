"""Which attempts lag so far behind their peers, or are so silent, that a second one is worth its bytes.

A cut-off node says nothing, and Ray may take minutes to declare it dead; a
slow disk says little; on a mount that hangs, a worker goes on to say that it
is where it was. Each costs one more attempt at a shard. One that hasn't begun
may wait for processors that others use, and is given more time. The first whole
attempt wins, which one doesn't matter: their bytes are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

SILENT_SECONDS = 20.0
"""An attempt reports about once a second."""

UNBEGUN_SECONDS = 60.0
STALLED_SECONDS = 120.0
"""Syncing a large shard to a slow disk takes long, and no byte is added meanwhile."""

LAG_FACTOR = 3.0
LAG_SECONDS = 10.0
"""An attempt that took less isn't worth another."""

ENOUGH_SAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How an attempt is going: bytes, and seconds since its start, since it was last heard of, since it grew.

    `begun` says whether it was heard of at all.
    """

    elapsed: float
    silence: float
    stalled: float
    begun: bool
    done_bytes: int
    size: int


def why_double(pace: Pace, seconds_per_byte: Sequence[float]) -> str:
    """Return why a second attempt is worth it, or nothing.

    Args:
        pace: of the attempt.
        seconds_per_byte: of the shards that this run has finished.
    """
    if pace.silence > (SILENT_SECONDS if pace.begun else UNBEGUN_SECONDS):
        return f"{'silent' if pace.begun else 'not begun'} for {pace.silence:.0f} s"
    usual = median(seconds_per_byte) * pace.size if seconds_per_byte else 0.0
    if pace.stalled > max(STALLED_SECONDS, LAG_FACTOR * usual):
        return f"no byte further for {pace.stalled:.0f} s"
    if len(seconds_per_byte) < ENOUGH_SAMPLES or pace.elapsed < LAG_SECONDS:
        return ""
    rate = pace.done_bytes / pace.elapsed
    left = (pace.size - pace.done_bytes) / rate if rate else float("inf")
    if pace.elapsed > LAG_FACTOR * usual and left > usual:
        return f"{pace.elapsed:.0f} s where its peers took {usual:.0f} s"
    return ""
