"""The requests to a place on a network, each carried on until it succeeds or there's no hope.

What has arrived is kept: a request that breaks off is made again for the rest only, and every
answer has to be of the version that the first one was of. Rejected: the client's own retries, which
begin a range again and don't know what it was of; and reading by `get_range`, which holds a range
twice and loses it when the last byte fails.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from distexpand.errors import StorageError
from distexpand.storage.address import Address
from distexpand.storage.objects.client import object_client, require_obstore, timeout_seconds
from distexpand.storage.objects.pause import asked_pause
from distexpand.storage.objects.retries import Retries
from distexpand.storage.objects.troubles import (
    ENDED_EARLY,
    Kind,
    Trouble,
    changed_error,
    error_of,
    trouble_of,
)

_PIECE_BYTES = 1 << 16
"""The least that is handed on, and so lost if the connection breaks; more come as they arrive."""

_PROGRESS_BYTES = 1 << 16
"""What makes a failure forgotten: fewer bytes per attempt would take forever."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What a store says of a file's content: bytes, entity tag if it has any, time of last change."""

    size: int
    tag: str
    changed: datetime

    @property
    def name(self) -> str:
        """A text that is another one when the content changes, as far as the store tells."""
        return _core(self.tag) or f"{self.changed:%Y-%m-%dT%H:%M:%SZ} {self.size}"

    @property
    def condition(self) -> dict[str, str]:
        """What makes a store refuse to give another version; weak tags never match there."""
        return {} if not self.tag or self.tag.startswith("W/") else {"if_match": self.tag}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """A version of an object, as other calls to the same store name it."""

    scheme: str
    root: str
    key: str
    tag: str


class Requests:
    """The requests to one place; safe to use from several threads at once."""

    def __init__(self, address: Address, *, client: Any = None) -> None:
        """Set up the client if none is given, without a request.

        Raises:
            MissingDependencyError: the client isn't installed.
            StorageError: what the environment says of credentials can't be used.
        """
        self.address = address
        self._client = client or object_client(address)
        self._obstore = require_obstore()
        self._timeout = timeout_seconds()
        self._reached = False

    def place(self, name: str) -> str:
        """Return what to call a file in a message."""
        return f"{self.address}/{name}" if name else str(self.address)

    def stored(self, name: str, tag: str) -> StoredObject:
        """Return how the store names a file's version."""
        key = f"{self.address.path}/{name}" if self.address.path else name
        return StoredObject(scheme=self.address.scheme, root=self.address.root, key=key, tag=tag)

    def version(self, name: str) -> Version:
        """Ask for a file's version alone.

        Raises:
            StorageError: it isn't there or can't be read.
        """
        return self._persist("read", name, lambda: _version(self._obstore.head(self._client, name)))

    def version_of_file(self, name: str) -> Version | None:
        """Return a file's version, or nothing where there is none, or only a page or refusal that hides it.

        Raises:
            StorageError: it can't be found out.
        """

        def ask() -> Version | None:
            try:
                found = self._obstore.get(self._client, name, options={"head": True})
            except Exception as error:
                if trouble_of(error, self.address).kind in {Kind.MISSING, Kind.DENIED}:
                    return None
                raise
            is_page = str(found.attributes.get("Content-Type", "")).startswith("text/html")
            return None if is_page else _version(found.meta)

        return self._persist("read", name, ask)

    def folder(self, folder: str) -> tuple[dict[str, int], list[str]]:
        """List a folder: files with their sizes, and folders in it, by their whole names.

        Raises:
            StorageError: it can't be listed.
        """

        def ask() -> tuple[dict[str, int], list[str]]:
            found = self._obstore.list_with_delimiter(self._client, folder or None)
            return {item["path"]: item["size"] for item in found["objects"]}, list(found["common_prefixes"])

        return self._persist("list", folder, ask)

    def fill(
        self, name: str, offset: int, buffer: memoryview, expected: Version | None, *, whole: bool = True
    ) -> Version:
        """Fill a buffer that isn't empty from `offset` of a file; return the version that it is of.

        Args:
            name: of the file.
            offset: bytes from its start.
            buffer: filled as far as the file goes if not `whole`.
            expected: the only version that is right, if one is known.
            whole: whether a file that ends within the buffer is an error.

        Raises:
            StorageError: the file isn't there, can't be read, is too short or of another version.
        """
        filled, kept = 0, 0
        retries = self._retries(name)
        while True:
            trouble = ENDED_EARLY
            try:
                for version, piece in self._pieces(name, offset + filled, offset + len(buffer), expected):
                    expected = version
                    buffer[filled : filled + len(piece)] = piece
                    filled += len(piece)
            except StorageError:
                raise
            except Exception as error:  # noqa: BLE001  # whatever the client raises, also of its own bugs
                trouble = trouble_of(error, self.address)
            self._reached |= expected is not None
            if trouble.kind is Kind.OUTSIDE:
                expected = self._unless_changed(name, expected)
            if expected and filled >= min(len(buffer), expected.size - offset):
                break
            if filled - kept >= _PROGRESS_BYTES:
                retries.progressed()
                kept = filled
            self._wait("read", name, trouble, retries)
        if whole and filled < len(buffer):
            raise StorageError(
                f"{self.place(name)}: has {expected.size:,} bytes, "
                f"but bytes {offset:,} to {offset + len(buffer):,} are needed"
            )
        return expected

    def _unless_changed(self, name: str, expected: Version | None) -> Version:
        """Return the version of a file that turned out to be shorter, unless it was longer before."""
        now = self.version(name)
        if expected and not _same(now, expected):
            raise changed_error(self.place(name))
        return now

    def _pieces(
        self, name: str, start: int, stop: int, expected: Version | None
    ) -> Iterator[tuple[Version, bytes]]:
        """Ask once for a range; yield the version and what arrives of it, which is checked to be of it."""
        options = {"range": (start, stop)} | (expected.condition if expected else {})
        client, key = self._at(name)
        answer = self._obstore.get(client, key, options=options)
        version = self._version_of(name, answer.meta)
        if expected and not _same(version, expected):
            raise changed_error(self.place(name))
        stop = min(stop, version.size)
        if tuple(answer.range) != (start, stop):
            raise StorageError(f"{self.place(name)}: the server gave another range than it was asked for")
        for piece in answer.stream(min_chunk_size=_PIECE_BYTES):
            start += len(piece)
            if start > stop:
                raise StorageError(f"{self.place(name)}: the server sent more than it was asked for")
            yield version, piece

    def _at(self, name: str) -> tuple[Any, str]:
        """Return the client that has a file, and under which key."""
        return self._client, name

    def _version_of(self, _name: str, meta: Any) -> Version:
        """Return the version that an answer is of."""
        return _version(meta)

    def _persist(self, doing: str, name: str, ask: Callable[[], _T]) -> _T:
        retries = self._retries(name)
        while True:
            try:
                answer = ask()
            except Exception as error:  # noqa: BLE001  # as above
                trouble = trouble_of(error, self.address)
            else:
                self._reached = True
                return answer
            self._wait(doing, name, trouble, retries)

    def _retries(self, name: str) -> Retries:
        return Retries(self._timeout, place=self.place(name), reached=lambda: self._reached)

    def _wait(self, doing: str, name: str, trouble: Trouble, retries: Retries) -> None:
        if not retries.wait(trouble, lambda: asked_pause(self._client, name)):
            raise error_of(doing, self.place(name), trouble, attempts=retries.failures)


def _version(meta: Any) -> Version:
    return Version(size=meta["size"], tag=meta["e_tag"] or "", changed=meta["last_modified"])


def _same(one: Version, other: Version) -> bool:
    return one.size == other.size and one.name == other.name


def _core(tag: str) -> str:
    """Return a tag without what says how strictly it is to be taken."""
    return tag.removeprefix("W/").strip('"')
