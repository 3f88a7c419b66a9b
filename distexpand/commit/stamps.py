"""Stamps: which state of the source files a run's first shards were made of.

Pins are of headers. Weights that change under the same header between a run
and its resume would give a mixture of two models that nothing notices, so a
run notes each file's size and the store's version of its content (the time of
change on local disks). A source that was moved or is reached by a link keeps
both; a copy without its times looks like a change, which is the safe side.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from distexpand.commit.files import write_whole
from distexpand.errors import OutputError
from distexpand.formats.json_record import record
from distexpand.storage.local.os_errors import storage_error


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStamp:
    """A source file's state: its bytes, and the store's version of their content."""

    model: str
    path: str
    size: int
    version: str


def write_stamps(path: Path, stamps: Sequence[SourceStamp], *, attempts: Path) -> None:
    """Note the stamps durably.

    Raises:
        StorageError: the file can't be written.
    """
    write_whole(path, encode_stamps(stamps), attempts=attempts)


def encode_stamps(stamps: Sequence[SourceStamp]) -> bytes:
    """Return the stamps as JSON text."""
    return json.dumps([asdict(stamp) for stamp in stamps]).encode()


def decode_stamps(raw: bytes, *, origin: str) -> tuple[SourceStamp, ...]:
    """Return the stamps of a text.

    Raises:
        OutputError: it is damaged.
    """
    try:
        return tuple(record(SourceStamp, entry) for entry in json.loads(raw))
    except (TypeError, ValueError, RecursionError):
        raise OutputError(f"{origin}: damaged", hint="Start anew with --overwrite.") from None


def read_stamps(path: Path) -> tuple[SourceStamp, ...]:
    """Return the stamps of the run that was begun; none if it hadn't come that far.

    Raises:
        OutputError: the file is damaged.
        StorageError: it can't be read.
    """
    if not path.exists():
        return ()
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise storage_error("read", path, error) from None
    return decode_stamps(raw, origin=str(path))


def require_same_sources(begun: Sequence[SourceStamp], now: Sequence[SourceStamp]) -> None:
    """Check that no source changed since a run was begun.

    Raises:
        OutputError: one did; names it.
    """
    before = {(stamp.model, stamp.path): stamp for stamp in begun}
    for stamp in now:
        if before.get((stamp.model, stamp.path), stamp) != stamp:
            raise OutputError(
                f"{stamp.path} of model {stamp.model} changed since the run was begun, "
                "and some shards are done already",
                hint="Start anew with --overwrite, or put the earlier file back with its time of change.",
            )
