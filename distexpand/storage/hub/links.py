"""Reading files of the Hub by links: each file is resolved once, then read by range where it lies.

The Hub counts requests for files and only redirects those for large ones; so a
range costs nothing there. Links to the host of large files are signed and hold
for an hour or so; one that is refused is asked for anew. They are as good as a
login for their file, and a login has no business on that host: neither shows
in a message, and only the Hub itself is shown the user's token.
"""

import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from distexpand.storage.address import Address
from distexpand.storage.hub.client import hub_library, hub_utilities
from distexpand.storage.hub.repository import HubFile, HubRepository
from distexpand.storage.objects.client import link_client
from distexpand.storage.objects.reader import ObjectReader
from distexpand.storage.objects.requests import Requests, Version
from distexpand.storage.objects.retries import Retries
from distexpand.storage.objects.troubles import Kind, Trouble, changed_error, trouble_of

_EACH_ITS_OWN = object()
"""Stands for the client of the whole place, which there is none of here."""

_EPOCH = datetime.fromtimestamp(0, UTC)
_REFUSED = Trouble(kind=Kind.BROKEN, reason="the links that the Hub gives to it are refused")


class HubRequests(Requests):
    """The requests to a repository at a commit."""

    def __init__(self, repository: HubRepository, address: Address, files: Mapping[str, HubFile]) -> None:
        """Ask nothing yet.

        Args:
            repository: which.
            address: the same with the commit as its revision.
            files: what the repository holds at that commit, by path.
        """
        super().__init__(address, client=_EACH_ITS_OWN)
        self._repository = repository
        self._files = files
        self._clients: dict[str, Any] = {}
        self._locks: dict[str, threading.Lock] = {name: threading.Lock() for name in files}

    def version(self, name: str) -> Version:
        """Return a file's version, which a commit never changes."""
        return self._pinned(name, self._files[name].size)

    def _version_of(self, name: str, meta: Any) -> Version:
        return self._pinned(name, meta["size"])

    def _pinned(self, name: str, size: int) -> Version:
        """Return the version that the Hub names; the other host knows others, and is asked for none."""
        return Version(size=size, tag=f"W/{self._files[name].etag}", changed=_EPOCH)

    def _at(self, name: str) -> tuple[Any, str]:
        with self._locks[name]:
            if name not in self._clients:
                self._clients[name] = self._resolved(name)
            return self._clients[name], ""

    def _pieces(
        self, name: str, start: int, stop: int, expected: Version | None
    ) -> Iterator[tuple[Version, bytes]]:
        client = self._clients.get(name)
        try:
            yield from super()._pieces(name, start, stop, expected)
        except Exception as error:
            if trouble_of(error, self.address).kind is Kind.DENIED:
                self._forget(name, client)
            raise

    def _wait(self, doing: str, name: str, trouble: Trouble, retries: Retries) -> None:
        super()._wait(doing, name, _REFUSED if trouble.kind is Kind.DENIED else trouble, retries)

    def _forget(self, name: str, refused: Any) -> None:
        """Forget a link, unless another thread has got a new one meanwhile."""
        with self._locks[name]:
            if refused is None or self._clients.get(name) is refused:
                self._clients.pop(name, None)

    def _resolved(self, name: str) -> Any:
        """Ask the Hub where a file lies, and return a client that asks for nothing else.

        Raises:
            StorageError: the Hub refuses, or has another content.
        """
        library, file = hub_library(), self._files[name]
        url = library.hf_hub_url(self._repository.name, name, revision=self.address.revision)
        token = self._repository.api.token
        found = self._repository.ask(lambda: library.get_hf_file_metadata(url, token=token))
        if (found.etag, found.size) != (file.etag, file.size):
            raise changed_error(self.place(name))
        return link_client(found.location, self._login_for(found.location))

    def _login_for(self, location: str) -> dict[str, str]:
        """Return the headers for a file's host: the user's token is for the Hub alone."""
        api = self._repository.api
        if _origin(location) != _origin(api.endpoint):
            return {}
        headers = hub_utilities().build_hf_headers(token=api.token)
        return {name: value for name, value in headers.items() if name.lower() == "authorization"}


class HubReader(ObjectReader):
    """A file of a commit, which doesn't change."""

    def __init__(self, requests: HubRequests, name: str, file: HubFile) -> None:
        """Open it, without a request."""
        super().__init__(requests, name, listed=file.size)
        self._etag = file.etag

    @property
    def version(self) -> str:
        """The Hub's name of the content."""
        return self._etag

    def check_unchanged(self) -> None:
        """Do nothing: a commit is what it is."""


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
