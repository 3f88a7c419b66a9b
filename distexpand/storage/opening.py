"""From the text of a location to the store that it names; clients are loaded only for what is asked for."""

import os
from collections.abc import Iterable
from pathlib import Path

from distexpand.formats.archive_index import ARCHIVE_NAME
from distexpand.storage.address import HUB, WEB, Address, parse_address
from distexpand.storage.archives.source import ArchiveSource, is_archive
from distexpand.storage.local.directories import LocalSource
from distexpand.storage.ranges import SourceStore


def open_store(location: str) -> SourceStore:
    """Return the checkpoint at a location, as a plan keeps it or a user writes it; packed or not.

    Raises:
        CheckpointError: it is an archive, and damaged.
        UsageError: no such kind of place.
        MissingDependencyError: the client for that kind of place isn't installed.
        StorageError: it can't be reached.
    """
    address = parse_address(location)
    if address is None or address.scheme == "file":
        return open_directory(Path(location if address is None else address.path))
    store = _hub(address) if address.scheme == HUB else _objects(address)
    return ArchiveSource(store) if address.scheme not in WEB and is_archive(store.files()) else store


def open_directory(directory: Path) -> SourceStore:
    """Return the checkpoint in a directory, packed or not.

    Raises:
        CheckpointError: it is an archive, and damaged.
    """
    local = LocalSource(directory)
    # Asked by name: a directory that is gone is told of when something of it is wanted.
    return ArchiveSource(local) if os.path.isfile(directory / ARCHIVE_NAME) else local  # noqa: PTH113


def _objects(address: Address) -> SourceStore:
    from distexpand.storage.objects.source import ObjectSource  # noqa: PLC0415  # for who needs it

    return ObjectSource(address)


def _hub(address: Address) -> SourceStore:
    from distexpand.storage.hub.source import HubSource  # noqa: PLC0415  # for who needs it

    return HubSource(address)


def open_stores(locations: Iterable[str]) -> dict[str, SourceStore]:
    """Return the stores of some locations, each opened once; raises as `open_store`."""
    return {location: open_store(location) for location in dict.fromkeys(locations)}
