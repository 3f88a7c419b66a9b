"""Storage as ranges: the two protocols that everything above it is written against.

A source is read by range into a caller's buffer; an output file is an attempt
that is written at any offset, synced, and given its final name by the
committer alone. Nothing here knows of tensors.
"""

from collections.abc import Iterator
from typing import Protocol, Self


class RangeReader(Protocol):
    """An open source file; safe to read from several threads at once."""

    @property
    def size(self) -> int:
        """The file's bytes."""
        ...

    @property
    def is_sparse(self) -> bool:
        """Whether some of the file may be holes, so that `data_ranges` is worth asking."""
        ...

    @property
    def alignment(self) -> int:
        """What a buffer's address and its offset in the file should agree modulo, for speed; else 1."""
        ...

    @property
    def version(self) -> str:
        """What the store gives another value when the content changes (a time, a tag)."""
        ...

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`.

        Raises:
            StorageError: the file is shorter than that, or reading failed.
        """
        ...

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield (offset, length) of the parts of a range that may hold data, in order.

        Bytes outside them are known to be zero (holes). A store that doesn't know yields
        the whole range.
        """
        ...

    def check_unchanged(self) -> None:
        """Check that the file is still the one that was opened.

        Raises:
            StorageError: it was written to or replaced since.
        """
        ...

    def close(self) -> None:
        """Release the file."""
        ...


class Readers(Protocol):
    """Open source files by their number in the plan; all of them, or those that one shard reads."""

    def __getitem__(self, number: int, /) -> RangeReader: ...


class Attempt(Protocol):
    """One attempt at an output file, under a name of its own; reads as zero where unwritten.

    As a context it closes the file, and removes it if an exception ends the work.
    """

    @property
    def name(self) -> str:
        """The attempt's name in its store, given to the committer with the receipt."""
        ...

    def reserve(self, offset: int, length: int) -> None:
        """Take disk space for a range that will be written.

        Raises:
            StorageError: there is no space.
        """
        ...

    def share(self, source: object, source_offset: int, offset: int, length: int) -> tuple[int, int]:
        """Have bytes in common with a source or another attempt, without moving them.

        Return begin and end of what is shared now, which may be less than was asked for and
        is empty where nothing can be. The rest has to be written.

        Raises:
            StorageError: there is no space.
        """
        ...

    def write(self, offset: int, buffer: memoryview) -> None:
        """Write the whole buffer at `offset`; several threads may write at once, nothing twice.

        Raises:
            StorageError: writing failed.
        """
        ...

    def leave_zero(self, offset: int, length: int) -> None:
        """Take note that a range that wasn't written is as it is to be.

        Where a file goes off in parts, it is what tells that nothing is missing from one.

        Raises:
            StorageError: sending what is complete now failed.
        """
        ...

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with what was written; the first bytes at least, as they are checked.

        Raises:
            StorageError: reading failed, or what was written there is on its way.
        """
        ...

    def finish(self) -> None:
        """Make what was written durable.

        Raises:
            StorageError: syncing failed.
        """
        ...

    def close(self) -> None:
        """Release the file; without `finish` it stays a harmless leftover."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


class SourceStore(Protocol):
    """A checkpoint's files."""

    @property
    def location(self) -> str:
        """Where it is, for people and for workers to open it again."""
        ...

    def files(self) -> dict[str, int]:
        """Return every file's path relative to the checkpoint, with its size in bytes."""
        ...

    def open(self, path: str) -> RangeReader:
        """Open a file.

        Raises:
            StorageError: it isn't there or can't be read.
        """
        ...


class OutputStore(Protocol):
    """Where an output's attempts are written."""

    @property
    def location(self) -> str:
        """Where it is, for people and for workers to open it again."""
        ...

    def begin(self, final_name: str, size: int) -> Attempt:
        """Start an attempt at a file of `size` bytes under a name that no other attempt has."""
        ...
