"""The archive's own file, `distexpand-archive.json`: which files it holds, and what they were.

It is written last: a directory without it is no archive. Like a manifest it
carries its own digest and has one spelling only, and holds no time, host or
path, so that the same checkpoint gives the same archive.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from distexpand.errors import CheckpointError
from distexpand.formats.index import is_plain_path
from distexpand.formats.json_record import record
from distexpand.formats.json_text import brief, load_json_object

ARCHIVE_NAME = "distexpand-archive.json"
ARCHIVE_VERSION = 1
ALGORITHM = "xxh3-128"
PACKED_SUFFIX = ".zst"


class Form(StrEnum):
    """How the archive's large files are packed."""

    PLAIN = "plain"
    """As files that every zstd tool opens."""

    DENSE = "dense"
    """By byte planes, and what is there already only named."""


_SUFFIXES = {Form.PLAIN: PACKED_SUFFIX, Form.DENSE: ".dense" + PACKED_SUFFIX}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedFile:
    """A file of the checkpoint.

    `size` is its bytes, `digest` the xxh3-128 of them. `packed_size` is the bytes of what the
    archive holds of it; `index_digest` the xxh3-128 of that file's seek table or index, empty
    where the file lies in the archive as it is.
    """

    name: str
    size: int
    digest: str
    packed_size: int
    index_digest: str

    @property
    def is_packed(self) -> bool:
        """Whether it isn't there as it is."""
        return self.index_digest != ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveIndex:
    """The files in order; a frame's container is a position in it."""

    form: Form
    files: tuple[ArchivedFile, ...]

    def packed_name(self, file: ArchivedFile) -> str:
        """Return a file's name in the archive."""
        return packed_name(file.name, self.form) if file.is_packed else file.name


def packed_name(name: str, form: Form) -> str:
    """Return the name in an archive of a file that is packed."""
    return name + _SUFFIXES[form]


def encode_archive_index(index: ArchiveIndex) -> bytes:
    """Return the index as JSON text."""
    document: dict[str, Any] = {
        "format_version": ARCHIVE_VERSION,
        "form": index.form.value,
        "digest_algorithm": ALGORITHM,
        "files": [asdict(file) for file in index.files],
    }
    document["archive_digest"] = hashlib.sha256(_text(document)).hexdigest()
    return _text(document)


def decode_archive_index(raw: bytes, *, origin: str) -> ArchiveIndex:
    """Return the index of a text.

    Raises:
        CheckpointError: the text isn't an index of this version, or was changed.
    """
    document = load_json_object(raw, origin=origin)
    if document.get("format_version") != ARCHIVE_VERSION:
        raise CheckpointError(
            f"{origin}: not an archive of version {ARCHIVE_VERSION}",
            hint="Unpack it with the version of distexpand that packed it.",
        )
    try:
        index = ArchiveIndex(
            form=Form(document["form"]),
            files=tuple(record(ArchivedFile, entry) for entry in document["files"]),
        )
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(f"{origin}: damaged: fields are missing or of the wrong kind") from None
    if encode_archive_index(index) != raw:
        raise CheckpointError(f"{origin}: isn't as it was written (its own digest differs)")
    _check_files(index, origin)
    return index


def check_places(names: Sequence[str], *, origin: str) -> None:
    """Check that files of these names can lie beside one another, and nowhere else.

    Raises:
        CheckpointError: a name leads elsewhere, or two have the same place.
    """
    known = set(names)
    for name in names:
        if not is_plain_path(name):
            raise CheckpointError(f"{origin}: file {brief(name)} isn't at a plain relative path")
    taken = known & {folder for name in names for folder in _folders(name)}
    if len(known) != len(names) or taken:
        raise CheckpointError(f"{origin}: two files have the same place ({brief(min(taken, default=''))})")


def _check_files(index: ArchiveIndex, origin: str) -> None:
    for file in index.files:
        if file.size < 0 or file.packed_size < 0:
            raise CheckpointError(f"{origin}: file {brief(file.name)} has a negative size")
    check_places([file.name for file in index.files], origin=origin)
    check_places([ARCHIVE_NAME, *map(index.packed_name, index.files)], origin=origin)


def _folders(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _text(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode() + b"\n"
