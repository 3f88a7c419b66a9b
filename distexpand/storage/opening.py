"""From the text of a location to the store that it names; clients are loaded only for what is asked for."""

from collections.abc import Iterable
from pathlib import Path

from distexpand.storage.address import HUB, Address, parse_address
from distexpand.storage.local import LocalSource
from distexpand.storage.ranges import SourceStore


def open_store(location: str) -> SourceStore:
    """Return the checkpoint at a location, as a plan keeps it or a user writes it.

    Raises:
        UsageError: no such kind of place.
        MissingDependencyError: the client for that kind of place isn't installed.
        StorageError: it can't be reached.
    """
    address = parse_address(location)
    if address is None or address.scheme == "file":
        return LocalSource(Path(location if address is None else address.path))
    return _hub(address) if address.scheme == HUB else _objects(address)


def _objects(address: Address) -> SourceStore:
    from distexpand.storage.object_source import ObjectSource  # noqa: PLC0415  # for who needs it

    return ObjectSource(address)


def _hub(address: Address) -> SourceStore:
    from distexpand.storage.hub_source import HubSource  # noqa: PLC0415  # for who needs it

    return HubSource(address)


def open_stores(locations: Iterable[str]) -> dict[str, SourceStore]:
    """Return the stores of some locations, each opened once; raises as `open_store`."""
    return {location: open_store(location) for location in dict.fromkeys(locations)}
