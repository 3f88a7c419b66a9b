"""A source file in an object store or on a web server, read by range.

Nothing is asked for before it's needed, and the first answer tells size and version together with
the first bytes: the header of a shard, which is read first and in parts, costs one request.
"""

import threading
from collections.abc import Iterator

from distexpand.errors import StorageError
from distexpand.storage.objects.requests import Requests, StoredObject, Version
from distexpand.storage.objects.troubles import changed_error

HEAD_BYTES = 1 << 17
"""What is fetched first: the headers of most shards of large models; kept as long as the file is open."""


class ObjectReader:
    """A file of a remote place; safe to read from several threads at once."""

    is_sparse = False
    alignment = 1

    def __init__(self, requests: Requests, name: str, *, listed: int | None = None) -> None:
        """Open the file, without a request.

        Args:
            requests: to the place.
            name: of the file in it.
            listed: its bytes, if the place has been listed.
        """
        self._requests = requests
        self._name = name
        self._listed = listed
        self._known: Version | None = None
        self._head = memoryview(b"")
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """The file's bytes."""
        if self._known is None and self._listed is not None:
            return self._listed
        return self._first().size

    @property
    def version(self) -> str:
        """The store's tag of the content, or the time of its last change where it has none."""
        return self._first().name

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`."""
        if self._known is None and offset == 0 and len(buffer) > HEAD_BYTES and self._read_first(buffer):
            return
        known, end = self._first(), offset + len(buffer)
        if end > known.size:
            raise StorageError(
                f"{self._requests.place(self._name)}: has {known.size:,} bytes, "
                f"but bytes {offset:,} to {end:,} are needed"
            )
        head = self._head
        if end <= len(head):
            buffer[:] = head[offset:end]
        elif len(buffer):
            self._requests.fill(self._name, offset, buffer, known)

    def stored(self) -> StoredObject | None:
        """Return by what the store knows the version that is read, or nothing if it tells none apart."""
        tag = self._first().tag
        return self._requests.stored(self._name, tag) if tag and not tag.startswith("W/") else None

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield the range: nothing is known of holes."""
        yield offset, length

    def check_unchanged(self) -> None:
        """Compare the store's version with that at the first reading."""
        known = self._first()
        if self._requests.version(self._name).name != known.name:
            raise changed_error(self._requests.place(self._name))

    def close(self) -> None:
        """Let go of what was kept; no connection is the file's own."""
        self._head = memoryview(b"")

    def _first(self) -> Version:
        """Return the file's version, which is asked for together with its first bytes."""
        with self._lock:
            if self._known is None and self._listed == 0:  # there is no range to ask for
                self._known = self._checked(self._requests.version(self._name))
            if self._known is None:
                length = HEAD_BYTES if self._listed is None else min(self._listed, HEAD_BYTES)
                head = memoryview(bytearray(length))
                self._known = self._checked(self._requests.fill(self._name, 0, head, None, whole=False))
                self._head = head[: self._known.size].toreadonly()
            return self._known

    def _read_first(self, buffer: memoryview) -> bool:
        """Let a large read be the first request; return whether it was."""
        with self._lock:
            if self._known is not None:
                return False
            self._known = self._checked(self._requests.fill(self._name, 0, buffer, None))
            return True

    def _checked(self, version: Version) -> Version:
        if self._listed not in {None, version.size}:
            raise changed_error(self._requests.place(self._name))
        return version
