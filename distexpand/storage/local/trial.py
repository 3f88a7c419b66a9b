"""Which way is faster here? A short transfer each way, of the size and concurrency of a run's."""

import mmap
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from distexpand.errors import StorageError
from distexpand.storage.local.attempt import LocalAttempt
from distexpand.storage.local.direct import PAGE
from distexpand.storage.local.reader import LocalReader
from distexpand.storage.local.way import Way

_BLOCK = 4 * 1024 * 1024
_BLOCKS = 4
TRIAL_BYTES = _BLOCK * _BLOCKS
"""Bytes moved each way."""

Seconds = dict[Way, float]


def try_reading(reader: LocalReader, offset: int) -> Seconds:
    """Return the seconds that reading `TRIAL_BYTES` takes each way; a way that isn't there is left out.

    Each way reads bytes of its own, from `offset` on, so that none finds what another left in the cache.

    Raises:
        StorageError: the file can't be read.
    """
    seconds: Seconds = {}
    start = offset // PAGE * PAGE
    for way in Way:
        if reader.read_by(way) is way:
            seconds[way] = _time(reader.read_into, start)
            start += TRIAL_BYTES
    return seconds


def try_writing(folder: Path) -> Seconds:
    """Return the seconds that writing and syncing `TRIAL_BYTES` takes each way; nothing is left behind.

    A way that fails is left out: what is wrong with the folder itself shows when it is written to.
    """
    seconds: Seconds = {}
    for way in Way:
        path = folder / f"trial.{secrets.token_hex(8)}"
        with suppress(StorageError):
            seconds |= _try_writing(path, way)
        path.unlink(missing_ok=True)
    return seconds


def _try_writing(path: Path, way: Way) -> Seconds:
    with LocalAttempt(path, TRIAL_BYTES, way=way) as attempt:
        if attempt.way is not way:
            return {}
        attempt.reserve(0, TRIAL_BYTES)
        return {way: _time(attempt.write, 0, attempt.finish)}


def _time(
    move: Callable[[int, memoryview], None], offset: int, finish: Callable[[], None] = lambda: None
) -> float:
    area = memoryview(mmap.mmap(-1, TRIAL_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    area[:: mmap.PAGESIZE] = bytes(TRIAL_BYTES // mmap.PAGESIZE)  # so that no page is made under the clock
    buffers = [area[start : start + _BLOCK] for start in range(0, TRIAL_BYTES, _BLOCK)]
    with ThreadPoolExecutor(_BLOCKS) as pool:
        started = time.perf_counter()
        list(pool.map(move, range(offset, offset + TRIAL_BYTES, _BLOCK), buffers))
        finish()
        return time.perf_counter() - started
