"""How far a run is, and how fast: the figures that every display shows.

Rates are measured over the last seconds as well as over the whole run, because one figure can't
say both: an average hides that a disk has just become slow, a rate of the moment jumps about too
much to tell when it will be over.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from distexpand.pauses import Retry

NOW_SECONDS = 5.0
"""What counts as now."""

_FORESIGHT_SECONDS = 60.0
"""The time left is that at the rate of the last minute."""

_SAMPLE_SECONDS = 0.25
_STALLED_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A run at one moment.

    `now` and `average` are bytes per second, nothing where too little time has passed; `silent` is
    how many seconds no byte has come, if that is long; `reason` says why something was tried again last.
    """

    total_bytes: int
    done_bytes: int
    shards: int
    shards_done: int
    under_way: tuple[str, ...]
    seconds: float
    now: float | None
    average: float | None
    seconds_left: float | None
    silent: float | None
    retries: int
    reason: str
    over: bool


class ProgressState:
    """Takes what a run tells, from any thread; costs a lock and an addition per block."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._total = self._done = self._earlier = 0
        self._shards = self._shards_done = 0
        self._under_way: dict[str, None] = {}
        self._retries, self._reason = 0, ""
        self._begun = self._moved = clock()
        self._ended: float | None = None
        self._samples: deque[tuple[float, int]] = deque()

    def start(self, *, total_bytes: int, done_bytes: int, shards: int, shards_done: int) -> None:
        """Begin, or begin again where the rates are to be those from now on."""
        with self._lock:
            self._begun = self._moved = self._clock()
            self._total, self._shards, self._shards_done = total_bytes, shards, shards_done
            self._done = self._earlier = done_bytes
            self._samples = deque([(self._begun, done_bytes)])

    def advance(self, nbytes: int) -> int:
        """Count bytes, and return all that are done."""
        with self._lock:
            self._done += nbytes
            self._moved = self._clock()
            if self._moved - self._samples[-1][0] >= _SAMPLE_SECONDS:
                self._samples.append((self._moved, self._done))
                while len(self._samples) > 1 and self._samples[1][0] <= self._moved - _FORESIGHT_SECONDS:
                    self._samples.popleft()
            return self._done

    def shard_begun(self, name: str) -> None:
        """Note what is being made."""
        with self._lock:
            self._under_way[name] = None

    def shard_done(self, name: str) -> None:
        """Count a shard that has its final name."""
        with self._lock:
            self._shards_done += 1
            self._under_way.pop(name, None)

    def retried(self, retry: Retry) -> None:
        """Count something that is tried again."""
        with self._lock:
            self._retries += 1
            self._reason = retry.reason

    def stop(self) -> None:
        """Note that the run is over; nothing moves any more."""
        with self._lock:
            self._ended = self._clock()

    def figures(self) -> Figures:
        """Return how far the run is by now."""
        with self._lock:
            at = self._clock() if self._ended is None else self._ended
            left, foresight = self._total - self._done, self._rate(at, _FORESIGHT_SECONDS)
            silent = at - self._moved
            return Figures(
                total_bytes=self._total,
                done_bytes=self._done,
                shards=self._shards,
                shards_done=self._shards_done,
                under_way=tuple(self._under_way),
                seconds=at - self._begun,
                now=self._rate(at, NOW_SECONDS),
                average=(self._done - self._earlier) / (at - self._begun) if at > self._begun else None,
                seconds_left=left / foresight if foresight else None,
                silent=silent if silent >= _STALLED_SECONDS and left > 0 else None,
                retries=self._retries,
                reason=self._reason,
                over=self._ended is not None,
            )

    def _rate(self, at: float, window: float) -> float | None:
        """Return the bytes per second of the last so many seconds; of attempts that were lost, none."""
        before = [sample for sample in self._samples if sample[0] <= at - window]
        since, done = before[-1] if before else self._samples[0] if self._samples else (at, 0)
        return max(self._done - done, 0) / (at - since) if at - since >= _SAMPLE_SECONDS else None
