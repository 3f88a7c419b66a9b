"""A checkpoint on the Hugging Face Hub, at one commit."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path

from distexpand.errors import StorageError
from distexpand.storage.address import HUB, Address
from distexpand.storage.hub.cache import cached_snapshot, open_cached, open_in_snapshot
from distexpand.storage.hub.client import is_offline
from distexpand.storage.hub.links import HubReader, HubRequests
from distexpand.storage.hub.repository import HubFile, HubRepository
from distexpand.storage.local.directories import LocalSource
from distexpand.storage.memory import BytesReader
from distexpand.storage.ranges import RangeReader

_DEEPEST = 2
"""Files at the top and in folders there, as in a directory (see `LocalSource.files`)."""


def open_hub(repository: str, revision: str | None = None) -> "HubSource":
    """Return the store of a repository, `org/name`, at the commit that a branch, tag or commit is now.

    Raises:
        MissingDependencyError: the client library isn't installed.
        StorageError: there is no such thing, it may not be seen, or the Hub is out of reach.
    """
    return HubSource(Address(scheme=HUB, root=repository, revision=revision))


class HubSource:
    """A checkpoint on the Hub, pinned to the commit that its revision was when it was opened.

    The Hub is asked once, for the commit and everything in it; in offline mode the local cache is.
    Files that the cache has are read from there.
    """

    def __init__(self, address: Address) -> None:
        """Find the commit.

        Raises:
            MissingDependencyError: the client library isn't installed.
            StorageError: there is no such thing, it may not be seen, or the Hub is out of reach.
        """
        self._name = address.root
        self._folder = f"{address.path}/" if address.path else ""
        self._files: dict[str, HubFile] = {}
        self._local = _in_cache(address) if is_offline() else None
        if self._local is not None:
            self._commit = self._local.name
        else:
            self._repository = HubRepository(name=address.root, place=str(address))
            found = self._repository.at(address.revision)
            self._commit, self._files = found.commit, found.files
        self._address = replace(address, revision=self._commit)
        self.location = str(self._address)

    def files(self) -> dict[str, int]:
        """Return the files and those of visible folders with their sizes, without Git's own."""
        if self._local is not None:
            found = LocalSource(self._local / self._folder).files()
        else:
            found = {
                path.removeprefix(self._folder): file.size
                for path, file in self._files.items()
                if path.startswith(self._folder)
            }
        return {path: size for path, size in found.items() if _is_shown(path)}

    def open(self, path: str) -> RangeReader:
        """Open a file of the checkpoint, without a request.

        Raises:
            StorageError: it isn't there.
        """
        name = f"{self._folder}{path}"
        if self._local is not None:
            return open_in_snapshot(self._local / name)
        file = self._files.get(name)
        if file is None:
            raise StorageError(f"{self.location}/{path}: there is no such file")
        if not file.size:
            return BytesReader(b"")
        return open_cached(self._name, self._commit, name, file) or HubReader(self._requests, name, file)

    @cached_property
    def _requests(self) -> HubRequests:
        return HubRequests(self._repository, replace(self._address, path=""), self._files)


def _in_cache(address: Address) -> Path:
    return cached_snapshot(address.root, address.revision, place=str(address))


def _is_shown(path: str) -> bool:
    parts = path.split("/")
    hidden = len(parts) > 1 and parts[0].startswith(".")
    return len(parts) <= _DEEPEST and not hidden and path != ".gitattributes"
