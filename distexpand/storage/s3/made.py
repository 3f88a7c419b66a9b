"""Which copies of source bytes finished objects hold, so that the store can copy duplicates from there.

A source that isn't in the store is read and sent for the first shard that needs it; later shards
that hold the same bytes get them from that shard's object. Only objects that this process completed
are known, and only while it runs: who resumes sends a few bytes again.
"""

import threading
from bisect import bisect_left
from dataclasses import dataclass

from distexpand.storage.objects.requests import StoredObject

_LOOKED_AT = 64
"""Ranges before an end that are tried: most are of a layer, and overlap with few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """Bytes of a source from `source_offset`, `length` of them, at `offset` of an attempt."""

    source: object
    source_offset: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Bytes of a source from `source_offset`, `length` of them, at `offset` of an object."""

    stored: StoredObject
    source_offset: int
    offset: int
    length: int


class MadeCopies:
    """The copies that attempts were asked for, and those that finished objects hold."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[str, list[Copied]] = {}
        self._made: dict[object, list[Found]] = {}

    def asked(self, attempt: str, copied: Copied) -> None:
        """Take note of what an attempt will hold."""
        with self._lock:
            self._asked.setdefault(attempt, []).append(copied)

    def dropped(self, attempt: str) -> None:
        """Forget an attempt that won't be an object."""
        with self._lock:
            self._asked.pop(attempt, None)

    def made(self, attempt: str, stored: StoredObject) -> None:
        """Take note that an attempt is an object now."""
        with self._lock:
            for copied in self._asked.pop(attempt, ()):
                found = Found(
                    stored=stored,
                    source_offset=copied.source_offset,
                    offset=copied.offset,
                    length=copied.length,
                )
                ranges = self._made.setdefault(copied.source, [])
                ranges.insert(bisect_left(ranges, copied.source_offset, key=_begin), found)

    def find(self, source: object, offset: int, length: int) -> Found | None:
        """Return the longest part of a source's range that some object holds, or nothing."""
        with self._lock:
            ranges = self._made.get(source, [])
            place = bisect_left(ranges, offset + length, key=_begin)
            near = [_common(found, offset, length) for found in ranges[max(0, place - _LOOKED_AT) : place]]
        return max(
            (found for found in near if found.length > 0), key=lambda found: found.length, default=None
        )


def _begin(found: Found) -> int:
    return found.source_offset


def _length(found: Found) -> int:
    return found.length


def _common(found: Found, offset: int, length: int) -> Found:
    """Return what a range of the source has in common with an object's; of no length if nothing."""
    begin = max(found.source_offset, offset)
    end = min(found.source_offset + found.length, offset + length)
    return Found(
        stored=found.stored,
        source_offset=begin,
        offset=found.offset + begin - found.source_offset,
        length=end - begin,
    )
