"""How files of an output in an object store get their final names: the protocol that committers use.

A store can't rename. What it can is to complete something that is staged: a multipart upload, or a
copy of an object that lies elsewhere. Both share what a committer needs: nothing shows before, it is
done at once or not at all, it is refused where a file of that name is, and once the staged thing is
dropped nobody can complete it any more.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from distexpand.storage.ranges import OutputStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A file that is there: bytes, the attempt that made it and its run; those are empty if not ours."""

    size: int
    token: str
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """Something that waits for its name: the file's path if that is known, and the store's word for it."""

    path: str
    id: str


class FinalNames(Protocol):
    """The files of one output, staged and complete."""

    def hasty(self) -> "FinalNames":
        """Return the same, but giving up soon, for what is only nice to have."""
        ...

    def output(self, run: str, *, shares: bool = False) -> OutputStore:
        """Return where a run's attempts are begun; they may share bytes with sources if `shares`."""
        ...

    def stage(self, name: str, raw: bytes, *, run: str) -> str:
        """Bring a small file into the store without its name; return the attempt's name.

        Raises:
            StorageError: it can't be written.
        """
        ...

    def is_whole(self, name: str, attempt: str, size: int) -> bool:
        """Whether an attempt is staged with all of its bytes.

        Raises:
            StorageError: the store doesn't tell.
        """
        ...

    def give(self, name: str, attempt: str, size: int) -> bool:
        """Complete an attempt under its name, and say so; not if there is a file of that name.

        Raises:
            StorageError: the store doesn't say that it is done, which it may be all the same.
        """
        ...

    def made(self, name: str) -> Made | None:
        """Return what is known of a file, or nothing if there is none.

        Raises:
            StorageError: the store doesn't tell.
        """
        ...

    def token(self, name: str, attempt: str) -> str:
        """Return the token that the file will carry that an attempt becomes."""
        ...

    def staged(self, names: Sequence[str], *, keep: Collection[str] = ()) -> Sequence[Staged]:
        """Return what is staged for these files, or more of ours, beside the attempts to keep.

        Raises:
            StorageError: the store doesn't tell.
        """
        ...

    def drop_attempt(self, name: str, attempt: str) -> None:
        """Drop one attempt.

        Raises:
            StorageError: it can't be dropped.
        """
        ...

    def staged_bytes(self, staged: Sequence[Staged]) -> int:
        """Return the bytes that the store keeps of what is staged.

        Raises:
            StorageError: the store doesn't tell.
        """
        ...

    def drop(self, staged: Sequence[Staged]) -> None:
        """Drop what was staged, so that nobody can complete it; what is gone already is no error.

        Raises:
            StorageError: something can't be dropped.
        """
        ...
