"""What the Hub knows: users, repositories, large files; and short ways to fill it in tests."""

import secrets
from collections.abc import Mapping
from pathlib import Path

from tests.support.hub_server.large_files import LargeFiles, Links
from tests.support.hub_server.refusals import RefusedError, gated, unknown_repository
from tests.support.hub_server.repository import MAIN, Commit, File, Repository, large_file
from tests.support.hub_server.xet_store import XetStore

_SMALL_SUFFIXES = (".json", ".md", ".txt", ".jinja", ".py", ".model")


class Hub:
    """All state of the server."""

    def __init__(self, folder: Path, *, endpoint: str, storage_endpoint: str, xet: bool = False) -> None:
        self.endpoint = endpoint
        self.storage_endpoint = storage_endpoint
        self.repositories: dict[str, Repository] = {}
        self.users: dict[str, str] = {}
        self.large = LargeFiles(folder / "large")
        self.links = Links()
        self.xet = XetStore(folder / "xet") if xet else None
        self.part_bytes = 5_000_000
        self.page = 50

    def add_user(self, name: str) -> str:
        """Return a new token of a user."""
        token = f"hf_{secrets.token_hex(17)}"
        self.users[token] = name
        return token

    def user(self, token: str) -> str:
        """Return who a token belongs to; empty without one."""
        if token and token not in self.users:
            raise RefusedError(401, "Invalid credentials in Authorization header")
        return self.users.get(token, "")

    def readable(self, name: str, token: str) -> Repository:
        """Return a repository whose existence and listing the user may see."""
        user, repository = self.user(token), self.repositories.get(name)
        if repository is None or (repository.private and user != repository.owner):
            raise unknown_repository(anonymous=not user)
        return repository

    def downloadable(self, name: str, token: str) -> Repository:
        """Return a repository whose files the user may read."""
        user, repository = self.user(token), self.readable(name, token)
        if repository.gated and user != repository.owner and user not in repository.granted:
            raise gated(name, anonymous=not user)
        return repository

    def writable(self, name: str, token: str) -> Repository:
        """Return a repository that the user may change."""
        user, repository = self.user(token), self.readable(name, token)
        if not user:
            raise RefusedError(401, "Invalid username or password.")
        if user != repository.owner:
            raise RefusedError(403, "You don't have the required permissions to perform this action.")
        return repository

    def content(self, repository: Repository, file: File) -> bytes | Path:
        """Return a file's bytes, or where a large one lies."""
        return repository.blobs[file.oid] if file.sha256 is None else self.large.path(file.sha256)

    def add(
        self, name: str, files: Mapping[str, bytes | Path], *, branch: str = MAIN, **kind: bool
    ) -> Commit:
        """Put files into a repository, made if missing; those at a path keep the holes they have there."""
        if name not in self.repositories:
            self.repositories[name] = Repository(name=name, **kind)
        repository = self.repositories[name]
        changes = {path: self._file(repository, path, content) for path, content in files.items()}
        return repository.commit(branch, changes, title="files")

    def _file(self, repository: Repository, path: str, content: bytes | Path) -> File:
        small = path.endswith(_SMALL_SUFFIXES)
        if small:
            return repository.add_blob(content if isinstance(content, bytes) else content.read_bytes())
        if isinstance(content, bytes):
            file = large_file(self.large.add(content), len(content))
        else:
            file = large_file(secrets.token_hex(32), content.stat().st_size)
            self.large.add_file(content, file.sha256 or "")
        repository.large.add(file.sha256 or "")
        return file

    def tree(self, name: str, revision: str = MAIN) -> dict[str, bytes]:
        """Return every file of a revision."""
        repository = self.repositories[name]
        found = {}
        for path, file in sorted(repository.at(revision).tree.items()):
            content = self.content(repository, file)
            found[path] = content if isinstance(content, bytes) else content.read_bytes()
        return found
