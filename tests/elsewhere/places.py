"""Places that a checkpoint may come from and go to: a disk, stores, a web server, a Hub; all real servers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.api.small import tree
from tests.support.hub_server import HubServer
from tests.support.range_server import RangeServer

HUB_NAME = "ann/{}"


class Sources(Protocol):
    """Places that a checkpoint can be read from."""

    def put(self, name: str, files: Mapping[str, bytes]) -> str:
        """Store a checkpoint and return where it is."""
        ...


class Places(Sources, Protocol):
    """Places that can be written to as well."""

    def new(self, name: str) -> str:
        """Return a place for an output."""
        ...

    def get(self, name: str) -> dict[str, bytes]:
        """Return every file of an output."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Directories:
    """Folders of this machine."""

    root: Path

    def put(self, name: str, files: Mapping[str, bytes]) -> str:
        """Store a checkpoint and return where it is."""
        for path, raw in files.items():
            (self.root / name / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name / path).write_bytes(raw)
        return str(self.root / name)

    def new(self, name: str) -> str:
        """Return a place for an output."""
        return str(self.root / name)

    def get(self, name: str) -> dict[str, bytes]:
        """Return every file of an output."""
        return tree(self.root / name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """A bucket or container of a store."""

    scheme: str
    server: Any
    root: str

    def put(self, name: str, files: Mapping[str, bytes]) -> str:
        """Store a checkpoint and return where it is."""
        self.server.put(self.root, {f"{name}/{path}": raw for path, raw in files.items()})
        return self.new(name)

    def new(self, name: str) -> str:
        """Return a place for an output."""
        return f"{self.scheme}://{self.root}/{name}"

    def get(self, name: str) -> dict[str, bytes]:
        """Return every file of an output."""
        found = self.server.contents(self.root)
        return {key.removeprefix(f"{name}/"): raw for key, raw in found.items() if key.startswith(f"{name}/")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Repositories:
    """Repositories of a Hub."""

    server: HubServer

    def put(self, name: str, files: Mapping[str, bytes]) -> str:
        """Store a checkpoint and return where it is."""
        self.server.hub.add(HUB_NAME.format(name), files)
        return self.new(name)

    def new(self, name: str) -> str:
        """Return a place for an output."""
        return f"hf://{HUB_NAME.format(name)}"

    def get(self, name: str) -> dict[str, bytes]:
        """Return every file of an output, without what the Hub itself puts into a repository."""
        found = self.server.hub.tree(HUB_NAME.format(name), "main")
        return {path: raw for path, raw in found.items() if path != ".gitattributes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebFolders:
    """Folders of a web server, or of what stands before it; they can only be read."""

    server: RangeServer
    seen_at: str = ""

    def put(self, name: str, files: Mapping[str, bytes]) -> str:
        """Store a checkpoint and return where it is."""
        for path, raw in files.items():
            self.server.put(f"{name}/{path}", raw)
        return f"{self.seen_at or self.server.endpoint}/{name}"


def same_files(found: Mapping[str, bytes], expected: Mapping[str, bytes]) -> bool:
    """Whether two sets of files are equal; says which differ, not their megabytes."""
    assert sorted(found) == sorted(expected)
    differing = [name for name in expected if found[name] != expected[name]]
    assert differing == []
    return True
