"""A model repository of the Hub: what it holds at a commit, its branches, its small files.

Every question goes through `ask`, so that what comes back is an answer or an
error of ours.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from distexpand.storage.hub import client as hub_client
from distexpand.storage.hub.asking import ask
from distexpand.storage.hub.client import hub_api, hub_library, hub_utilities
from distexpand.storage.hub.errors import HubError

MAIN = "main"

_MISSING = frozenset({401, 404})
"""A private repository's existence isn't told to those who may not see it."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """A file at a commit: its bytes, and what the Hub gives another value when the content changes.

    That is the SHA-256 of a large file, and Git's name of a small one.
    """

    size: int
    etag: str
    is_large: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A repository at a commit."""

    commit: str
    files: dict[str, HubFile]


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRepository:
    """A model repository; `place` is how messages name it."""

    name: str
    place: str
    api: Any = field(default_factory=hub_api)

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Return what the library answers, asking again while the trouble may pass.

        Raises:
            HubError: the Hub refused or stayed out of reach.
        """
        return ask(question, place=self.place, repository=self.name)

    def at(self, revision: str | None) -> Snapshot:
        """Return what a branch, tag or commit holds now; the default branch if none is named.

        Raises:
            HubError: there is no such thing, or it may not be seen.
        """
        # Without a limit of its own this question overrides those of the connection.
        limit = hub_client.PATIENCE_SECONDS
        return self.ask(
            lambda: _snapshot(
                self.api.model_info(self.name, revision=revision, files_metadata=True, timeout=limit)
            )
        )

    def exists(self) -> bool:
        """Whether the repository is there, and may be seen.

        Raises:
            HubError: that can't be found out.
        """
        try:
            self.ask(lambda: self.api.model_info(self.name, timeout=hub_client.PATIENCE_SECONDS))
        except HubError as error:
            if error.status in _MISSING:
                return False
            raise
        return True

    def create(self, *, private: bool) -> None:
        """Make the repository if it isn't there.

        Raises:
            HubError: it can't be made.
        """
        self.ask(lambda: self.api.create_repo(self.name, private=private, exist_ok=True))

    def branches(self) -> dict[str, str]:
        """Return the commit of each branch.

        Raises:
            HubError: they can't be listed.
        """
        return self.ask(
            lambda: {
                branch.name: branch.target_commit for branch in self.api.list_repo_refs(self.name).branches
            }
        )

    def create_branch(self, branch: str, *, at: str) -> None:
        """Make a branch at a commit; one that is there already is no error, and stays where it is.

        Raises:
            HubError: it can't be made.
        """
        self.ask(lambda: self.api.create_branch(self.name, branch=branch, revision=at, exist_ok=True))

    def delete_branch(self, branch: str) -> None:
        """Delete a branch; one that is gone already is no error.

        Raises:
            HubError: it can't be deleted.
        """
        try:
            self.ask(lambda: self.api.delete_branch(self.name, branch=branch))
        except HubError:
            if branch in self.branches():
                raise

    def read(self, path: str, revision: str) -> bytes:
        """Return the bytes of a small file, in one request instead of two.

        The library follows the redirect to another host without its login.

        Raises:
            HubError: it isn't there or can't be read.
        """
        return self.ask(lambda: self._fetched(path, revision))

    def _fetched(self, path: str, revision: str) -> bytes:
        library = hub_library()
        response = library.get_session().get(
            library.hf_hub_url(self.name, path, revision=revision),
            headers=hub_utilities().build_hf_headers(token=self.api.token),
        )
        hub_utilities().hf_raise_for_status(response)
        return bytes(response.content)


def _snapshot(found: Any) -> Snapshot:
    """Take the library's answer apart, which fails like the library does where something is missing."""
    if not found.sha:
        raise LookupError("no commit")
    return Snapshot(commit=found.sha, files={entry.rfilename: _file(entry) for entry in found.siblings})


def _file(entry: Any) -> HubFile:
    large = entry.lfs is not None
    return HubFile(
        size=entry.lfs.size if large else entry.size,
        etag=entry.lfs.sha256 if large else entry.blob_id,
        is_large=large,
    )
