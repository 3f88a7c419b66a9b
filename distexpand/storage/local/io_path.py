"""The I/O path: how large runs move to and from each file system of a run, decided at its start.

What is known of the file system says which way to expect; a short trial
overturns that where it is plainly wrong (a cache that has the file already, a
slow driver). Nothing in the output depends on it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from distexpand.storage.local.file_systems import file_system_of, usual_way
from distexpand.storage.local.reader import LocalReader
from distexpand.storage.local.trial import TRIAL_BYTES, Seconds, try_reading, try_writing
from distexpand.storage.local.way import Way

WORTH_A_TRIAL = 8_000_000_000
"""Bytes that a run has to move for a trial to be worth its tenth of a second."""

_PLAINLY = 2.0
"""How many times faster another way than the usual one has to be in a trial that short."""

_ROUNDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class IoPath:
    """The way that is taken on one file system, and the bytes per second of each way if it was tried."""

    file_system: str
    way: Way
    rates: Mapping[Way, float] = field(default_factory=dict)

    def __str__(self) -> str:
        tried = [f"{way} {rate / 1e9:.1f} GB/s" for way, rate in sorted(self.rates.items())]
        return f"{self.way} ({', '.join([self.file_system or 'unknown file system', *tried])})"


def choose_reading(readers: Iterable[object], *, trial: bool, direct: bool = True) -> tuple[IoPath, ...]:
    """Choose how the files of each file system are read, tell the readers, and return what was chosen.

    Args:
        readers: open sources; those that aren't local files are left alone.
        trial: whether to try what is faster, or to go by the kind of file system.
        direct: whether files may be opened once more, for direct I/O.
    """
    by_device: dict[int, list[LocalReader]] = {}
    for reader in readers:
        if isinstance(reader, LocalReader):
            by_device.setdefault(reader.device, []).append(reader)
    return tuple(_reading(own, trial=trial and direct, direct=direct) for own in by_device.values())


def choose_writing(folder: Path, *, trial: bool) -> IoPath:
    """Choose how files in a folder are written; with `trial` by writing a few there, else by its kind."""
    file_system = file_system_of(folder)
    seconds = _fastest(try_writing(folder) for _ in range(_ROUNDS)) if trial else {}
    return _path(file_system, seconds)


def _reading(readers: list[LocalReader], *, trial: bool, direct: bool) -> IoPath:
    largest = max(readers, key=lambda reader: reader.size)
    seconds: Seconds = {}
    needed = 2 * _ROUNDS * len(Way) * TRIAL_BYTES
    if trial and largest.size >= needed and not largest.is_sparse:
        starts = [largest.size // 2 + number * len(Way) * TRIAL_BYTES for number in range(_ROUNDS)]
        seconds = _fastest(try_reading(largest, start) for start in starts)
    path = _path(file_system_of(largest.path), seconds)
    wanted = path.way if direct else Way.BUFFERED
    taken = {reader.read_by(wanted) for reader in readers}
    way = wanted if taken == {wanted} else Way.BUFFERED
    return IoPath(file_system=path.file_system, way=way, rates=path.rates)


def _path(file_system: str, seconds: Seconds) -> IoPath:
    usual = usual_way(file_system)
    way = usual
    if seconds:
        best = min(seconds, key=lambda key: seconds[key])
        if usual not in seconds or seconds[best] * _PLAINLY < seconds[usual]:
            way = best
    rates = {key: TRIAL_BYTES / value for key, value in seconds.items()}
    return IoPath(file_system=file_system, way=way, rates=rates)


def _fastest(rounds: Iterable[Seconds]) -> Seconds:
    best: Seconds = {}
    for seconds in rounds:
        for way, value in seconds.items():
            best[way] = min(value, best.get(way, value))
    return best
