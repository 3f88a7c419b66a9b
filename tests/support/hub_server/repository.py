"""Repositories as the Hub keeps them: trees of Git blobs and pointers to large files, commits, branches."""

import hashlib
import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.hub_server.refusals import RefusedError, revision_not_found

MAIN = "main"

ATTRIBUTES = "".join(
    f"*.{ending} filter=lfs diff=lfs merge=lfs -text\n"
    for ending in ("bin", "gguf", "h5", "msgpack", "npz", "onnx", "pt", "pth", "safetensors", "zst")
)
"""What the Hub puts into `.gitattributes` of a new repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of a tree; `oid` is Git's of its blob, which for a large file is the pointer to `sha256`."""

    oid: str
    size: int
    sha256: str | None = None
    pointer_size: int = 0

    @property
    def etag(self) -> str:
        return self.sha256 or self.oid


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A state of the repository, and how it came to it."""

    oid: str
    parent: str | None
    tree: Mapping[str, File]
    title: str
    description: str


def git_oid(raw: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(raw) + raw, usedforsecurity=False).hexdigest()


def large_file(sha256: str, size: int) -> File:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    return File(oid=git_oid(pointer), size=size, sha256=sha256, pointer_size=len(pointer))


@dataclass(slots=True, kw_only=True)
class Repository:
    """A model repository. `granted` are the users who may read it if it is gated, beside its owner."""

    name: str
    private: bool = False
    gated: bool = False
    granted: set[str] = field(default_factory=set)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        first = self.add_blob(ATTRIBUTES.encode())
        oid = self._record(None, {".gitattributes": first}, "initial commit", "")
        self.branches[MAIN] = oid

    @property
    def owner(self) -> str:
        return self.name.partition("/")[0]

    def add_blob(self, raw: bytes) -> File:
        oid = git_oid(raw)
        self.blobs[oid] = raw
        return File(oid=oid, size=len(raw))

    def at(self, revision: str) -> Commit:
        """Return the commit of a branch, a tag or a commit's name, which may be shortened to 7 characters."""
        with self.lock:
            oid = self.branches.get(revision) or self.tags.get(revision)
            if oid is None and len(revision) >= 7:
                oid = next((known for known in self.commits if known.startswith(revision)), None)
            if oid is None:
                raise revision_not_found(revision)
            return self.commits[oid]

    def commit(
        self,
        branch: str,
        changes: Mapping[str, File | None],
        *,
        title: str,
        description: str = "",
        parent: str | None = None,
    ) -> Commit:
        """Add a commit to a branch; nothing as a file means that it goes."""
        with self.lock:
            if branch not in self.branches:
                raise revision_not_found(branch)
            head = self.commits[self.branches[branch]]
            if parent is not None and not head.oid.startswith(parent):
                raise RefusedError(412, "A commit has happened since. Please refresh and try again.")
            tree = {path: file for path, file in {**head.tree, **changes}.items() if file is not None}
            self.branches[branch] = self._record(head.oid, tree, title, description)
            return self.commits[self.branches[branch]]

    def history(self, revision: str) -> list[Commit]:
        """Return the commits that lead to a revision, the newest first."""
        found, commit = [], self.at(revision)
        while True:
            found.append(commit)
            if commit.parent is None:
                return found
            commit = self.commits[commit.parent]

    def _record(self, parent: str | None, tree: Mapping[str, File], title: str, description: str) -> str:
        content = repr((parent, sorted((path, file.oid) for path, file in tree.items()), title, description))
        oid = hashlib.sha1(f"{next(_numbers)} {content}".encode(), usedforsecurity=False).hexdigest()
        self.commits[oid] = Commit(oid=oid, parent=parent, tree=tree, title=title, description=description)
        return oid


_numbers = itertools.count()
