"""Small files in an object store: read, written whole, written only if, listed, removed.

What a committer keeps beside an output. Every call is made again for a while, as stores fail now
and then. So a conditional write may have been done though its answer was lost: where one is refused,
what is there is compared with what was written.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from distexpand.errors import StorageError
from distexpand.storage.address import Address
from distexpand.storage.objects.client import object_client, require_obstore, timeout_seconds
from distexpand.storage.objects.retries import Retries
from distexpand.storage.objects.troubles import Trouble, error_of, trouble_of

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file as it was found: its bytes, and what tells its version from any other."""

    raw: bytes
    version: Mapping[str, str]


class ObjectFiles:
    """The files below an address, by their paths in it; threads may share it."""

    def __init__(self, address: Address) -> None:
        """Set up the client, without a request.

        Raises:
            MissingDependencyError: the client isn't installed.
            StorageError: what the environment says of credentials can't be used.
        """
        self.address = address
        self._client = object_client(address)
        self._obstore = require_obstore()
        errors = require_obstore("obstore.exceptions")
        self._refusals = (FileNotFoundError, errors.AlreadyExistsError, errors.PreconditionError)
        self._timeout = timeout_seconds()
        self._reached = False
        self._hasty = False

    def hasty(self) -> Self:
        """Return the same files, but with one try at each call, for what is only nice to have."""
        other = copy.copy(self)
        other._hasty = True  # noqa: SLF001  # of the same class
        return other

    def read(self, path: str) -> Stored | None:
        """Return a file, or nothing if there is none.

        Raises:
            StorageError: it can't be read.
        """

        def get() -> Stored:
            found = self._obstore.get(self._client, path)
            return Stored(raw=bytes(found.bytes()), version=_version(found.meta))

        try:
            return self._tried("read", path, get, passes=(FileNotFoundError,))
        except FileNotFoundError:
            return None

    def attributes(self, path: str) -> tuple[int, Mapping[str, str]] | None:
        """Return size and attributes of a file, or nothing if there is none.

        Raises:
            StorageError: the store doesn't tell.
        """

        def head() -> tuple[int, Mapping[str, str]]:
            found = self._obstore.get(self._client, path, options={"head": True})
            return found.meta["size"], dict(found.attributes)

        try:
            return self._tried("read", path, head, passes=(FileNotFoundError,))
        except FileNotFoundError:
            return None

    def write(self, path: str, raw: bytes, *, attributes: Mapping[str, str] | None = None) -> None:
        """Give a file its bytes, whatever it held.

        Raises:
            StorageError: it can't be written.
        """
        self._tried("write", path, lambda: self._put(path, raw, None, attributes))

    def create(self, path: str, raw: bytes) -> Mapping[str, str] | None:
        """Write a file that isn't there yet and return its version; nothing if one is there.

        Raises:
            StorageError: the store doesn't say that it is done.
        """
        return self._put_if(path, raw, "create")

    def replace(self, path: str, raw: bytes, version: Mapping[str, str]) -> Mapping[str, str] | None:
        """Replace a version of a file and return the new one; nothing if it isn't that one any more.

        Raises:
            StorageError: the store doesn't say that it is done.
        """
        return self._put_if(path, raw, dict(version))

    def copy(self, path: str, to: str) -> bool:
        """Have the store copy a file to where none is, and say so; not if one is there.

        Raises:
            StorageError: there is nothing to copy, or the store doesn't say that it is done.
        """
        try:
            self._tried(
                "copy",
                path,
                lambda: self._obstore.copy(self._client, path, to, overwrite=False),
                passes=self._refusals,
            )
        except FileNotFoundError as error:
            raise self._error("copy", path, trouble_of(error, self.address)) from None
        except self._refusals:
            return False
        return True

    def list(self, folder: str = "") -> dict[str, int]:
        """Return the paths of all files, or of those below a folder, with their sizes.

        Raises:
            StorageError: they can't be listed.
        """

        def listed() -> dict[str, int]:
            batches = self._obstore.list(self._client, folder or None)
            return {item["path"]: item["size"] for batch in batches for item in batch}

        return self._tried("list", folder, listed)

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files; those that are gone already are no error.

        Raises:
            StorageError: one can't be removed.
        """
        if not paths:
            return
        try:
            self._tried(
                "remove",
                "",
                lambda: self._obstore.delete(self._client, list(paths)),
                passes=(FileNotFoundError,),
            )
        except (FileNotFoundError, StorageError):  # not all stores remove several at once, or what is gone
            for path in paths:
                self._remove(path)

    def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._tried(
                "remove", path, lambda: self._obstore.delete(self._client, path), passes=(FileNotFoundError,)
            )

    def _put_if(self, path: str, raw: bytes, mode: str | dict[str, str]) -> Mapping[str, str] | None:
        # What is to be replaced may be gone; where something is to be created, there is a place at least.
        passes = self._refusals if isinstance(mode, dict) else self._refusals[1:]
        try:
            return self._tried("write", path, lambda: self._put(path, raw, mode, None), passes=passes)
        except passes:
            found = self.read(path)
            return found.version if found and found.raw == raw else None

    def _put(
        self, path: str, raw: bytes, mode: str | dict[str, str] | None, attributes: Mapping[str, str] | None
    ) -> Mapping[str, str]:
        made = self._obstore.put(
            self._client,
            path,
            raw,
            mode=mode,
            attributes=dict(attributes) if attributes else None,
            use_multipart=False,
        )
        return _version(made)

    def _tried(
        self, doing: str, path: str, call: Callable[[], _Found], *, passes: tuple[type[Exception], ...] = ()
    ) -> _Found:
        """Call until it succeeds, there is no hope, or it is refused in a way that `passes` to the caller."""
        retries = Retries(self._timeout, place=self._place(path), reached=lambda: self._reached)
        while True:
            try:
                answer = call()
            except passes:
                self._reached = True
                raise
            except Exception as error:  # noqa: BLE001  # whatever the client raises, also of its own bugs
                trouble = trouble_of(error, self.address)
                if self._hasty or not retries.wait(trouble, lambda: None):
                    raise self._error(doing, path, trouble, attempts=retries.failures) from None
            else:
                self._reached = True
                return answer

    def _error(self, doing: str, path: str, trouble: Trouble, *, attempts: int = 1) -> StorageError:
        return error_of(doing, self._place(path), trouble, attempts=attempts)

    def _place(self, path: str) -> str:
        return f"{self.address}/{path}".rstrip("/")


def _version(meta: Mapping[str, Any]) -> Mapping[str, str]:
    return {name: meta[name] for name in ("e_tag", "version") if meta.get(name)}
