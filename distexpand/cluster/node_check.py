"""What one node finds when it is asked to look: output, sources, versions. Runs in a worker there."""

import platform
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import ray
import xxhash

from distexpand.cluster.package_digest import package_digest
from distexpand.cluster.task import OrderedSource, node_name
from distexpand.errors import DistexpandError
from distexpand.intake.pins import pin_of, read_range
from distexpand.storage.opening import open_stores
from distexpand.storage.ranges import RangeReader, SourceStore

MARKER_NAME = "driver"
LIBRARIES = ("numpy", "torch", "xxhash", "zstandard")
_SAMPLES = 16
_SAMPLE_BYTES = 1 << 16
_THREADS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What a process runs: `package` is the digest of our own code, `libraries` those it computes with."""

    package: str
    python: str
    ray: str
    libraries: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceView:
    """How a node sees a source file: its state (see `commit.stamps`), or why it can't be used."""

    version: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """What a node found.

    `marker` is the text that the driver wrote, as read there; `read_problem` and `write_problem`
    say why it couldn't be read or answered; `free` is bytes.
    """

    node: str
    host: str
    versions: Versions
    marker: str
    read_problem: str
    write_problem: str
    free: int | None
    sources: tuple[SourceView, ...]


def look_around(folder: str, mark: str, sources: tuple[OrderedSource, ...]) -> NodeView:
    """Look at this node: read the driver's marker, leave one of our own named `mark`, try every source."""
    marker, unread, unwritten = "", "", ""
    try:
        marker = (Path(folder) / MARKER_NAME).read_text(encoding="ascii")
    except OSError as error:
        unread = error.strerror or str(error)
    except UnicodeDecodeError as error:
        unread = str(error)
    if not unread:
        try:
            (Path(folder) / mark).write_text(marker, encoding="ascii")
        except OSError as error:
            unwritten = error.strerror or str(error)
    free = None
    with suppress(OSError):
        free = shutil.disk_usage(folder).free
    return NodeView(
        node=node_name(),
        host=socket.gethostname(),
        versions=own_versions(),
        marker=marker,
        read_problem=unread,
        write_problem=unwritten,
        free=free,
        sources=_views(sources),
    )


def own_versions() -> Versions:
    """Return what this process runs."""
    found = []
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found.append((name, metadata.version(name)))
    return Versions(
        package=package_digest(),
        python=platform.python_version(),
        ray=ray.__version__,
        libraries=tuple(found),
    )


def sample_sources(sources: tuple[OrderedSource, ...]) -> tuple[str, ...]:
    """Return a digest of a few pieces of each file: other weights under the same header show in it."""
    stores = open_stores(source.location for source in sources)
    with ThreadPoolExecutor(_THREADS) as pool:
        return tuple(pool.map(lambda source: _sample(stores[source.location], source), sources))


def _views(sources: tuple[OrderedSource, ...]) -> tuple[SourceView, ...]:
    try:
        stores = open_stores(source.location for source in sources)
    except DistexpandError as error:
        return tuple(SourceView(problem=error.message) for _ in sources)
    with ThreadPoolExecutor(_THREADS) as pool:
        return tuple(pool.map(lambda source: _view(stores[source.location], source), sources))


def _view(store: SourceStore, source: OrderedSource) -> SourceView:
    origin = f"{source.location}/{source.path}"
    try:
        reader = store.open(source.path)
        try:
            if reader.size != source.size:
                return SourceView(problem=f"{origin}: has {reader.size:,} bytes, planned {source.size:,}")
            if pin_of(reader, source.path, origin=origin) != source.pin:
                return SourceView(problem=f"{origin}: has another header than the file that was planned")
            return SourceView(version=reader.version)
        finally:
            reader.close()
    except DistexpandError as error:
        return SourceView(problem=error.message)


def _sample(store: SourceStore, source: OrderedSource) -> str:
    reader = store.open(source.path)
    try:
        return _sampled(reader)
    finally:
        reader.close()


def _sampled(reader: RangeReader) -> str:
    digest = xxhash.xxh3_128()
    last = max(0, reader.size - _SAMPLE_BYTES)
    for number in range(_SAMPLES):
        digest.update(read_range(reader, last * number // (_SAMPLES - 1), min(_SAMPLE_BYTES, reader.size)))
    return digest.hexdigest()
