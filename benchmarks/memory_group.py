"""A control group for one command: a limit on all of its memory, page cache included.

Both versions of control groups are known. A group of version 1 is made below the one that this
process is in, so that it stays inside the limits that are there already. In version 2 a group
with processes can't have such children, so it is made beside it.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SAMPLE_SECONDS = 0.05


class NoGroupsError(Exception):
    """No control group with a memory limit can be made here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What the files of a group are called.

    `file` is the line of memory.stat that counts page cache, `refusals` the file that counts
    how often the limit was met, alone or in a line `max`.
    """

    number: int
    limit: str
    peak: str
    file: str
    refusals: str

    @property
    def filter(self) -> str:
        """How a line of /proc/self/cgroup begins behind its number."""
        return "memory:" if self.number == 1 else ":"


_VERSIONS = (
    Version(
        number=1,
        limit="memory.limit_in_bytes",
        peak="memory.max_usage_in_bytes",
        file="total_cache",
        refusals="memory.failcnt",
    ),
    Version(number=2, limit="memory.max", peak="memory.peak", file="file", refusals="memory.events"),
)


class MemoryGroup:
    """A group: how to start a command in it, and what was used at most."""

    def __init__(self, directory: Path, version: Version) -> None:
        self.directory = directory
        self._version = version
        self.most_file_bytes = 0
        """Page cache at most, as sampled; short peaks may be missed."""

    def command(self, command: Sequence[str]) -> list[str]:
        """Return a command that enters the group and becomes the given one."""
        script = 'echo $$ > "$0" && exec "$@"'
        return ["sh", "-c", script, str(self.directory / "cgroup.procs"), *command]

    @property
    def peak_bytes(self) -> int:
        """Memory of all kinds at most, as the kernel counted it."""
        return int((self.directory / self._version.peak).read_text())

    @property
    def times_at_limit(self) -> int:
        """How often memory had to be reclaimed before the group could have more."""
        lines = (self.directory / self._version.refusals).read_text().splitlines()
        counts = {line.split()[0]: line.split()[-1] for line in lines}
        return int(counts["max"] if self._version.number == 2 else lines[0])

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note how much page cache there is at most meanwhile."""
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(done,))
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def _watch(self, done: threading.Event) -> None:
        while not done.wait(_SAMPLE_SECONDS):
            self.most_file_bytes = max(self.most_file_bytes, self._file_bytes())

    def _file_bytes(self) -> int:
        lines = (self.directory / "memory.stat").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{self._version.file} "))


@contextmanager
def memory_group(limit: int | None) -> Iterator[MemoryGroup]:
    """Make a group, with a limit in bytes or without one, and remove it afterwards.

    Raises:
        NoGroupsError: it can't be made.
    """
    parent, version = _parent()
    directory = parent / f"distexpand-benchmark-{os.getpid()}"
    try:
        directory.mkdir()
    except OSError as error:
        raise NoGroupsError(f"{directory} can't be made: {error.strerror}") from None
    try:
        if not (directory / version.limit).exists():
            raise NoGroupsError(f"{directory} has no {version.limit}: memory isn't delegated to it")
        if limit is not None:
            (directory / version.limit).write_text(str(limit))
        yield MemoryGroup(directory, version)
    finally:
        _remove(directory)


def _parent() -> tuple[Path, Version]:
    """Return the directory in which a group can be made, and the version that governs memory here."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    for version in _VERSIONS:
        kind = "cgroup" if version.number == 1 else "cgroup2"
        for _, point, found, options, *_ in mounts:
            if found == kind and (version.number == 2 or "memory" in options.split(",")):
                own = Path(point) / own_group(Path("/proc/self/cgroup").read_text(), version)
                beside = version.number == 2 and own != Path(point)
                return (own.parent if beside else own), version
    raise NoGroupsError("no control groups are mounted that limit memory")


def own_group(text: str, version: Version) -> Path:
    """Return this process's group, relative to the mount, from what /proc/self/cgroup says.

    Raises:
        NoGroupsError: it is in none.
    """
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        if rest.startswith(version.filter) and (version.number == 1 or number == "0"):
            return Path(rest.removeprefix(version.filter).lstrip("/"))
    raise NoGroupsError("this process is in no control group for memory")


def _remove(directory: Path) -> None:
    """Remove a group; a process that has just ended may still be in it for a moment."""
    for _ in range(50):
        try:
            directory.rmdir()
        except OSError:
            time.sleep(0.1)
        else:
            return
