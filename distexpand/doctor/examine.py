"""All that `distexpand doctor` looks at, in order."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from distexpand.doctor.cluster import look_at_cluster
from distexpand.doctor.elsewhere import look_at_hub, look_elsewhere
from distexpand.doctor.findings import Section
from distexpand.doctor.folder import look_at_folder
from distexpand.doctor.machine import look_at_machine
from distexpand.doctor.programs import look_at_programs
from distexpand.storage.address import Address


def examine(places: Sequence[Path | Address], *, address: str | None) -> Iterator[Section]:
    """Look at the program, this machine, each place and a cluster, one after the other.

    Args:
        places: paths and addresses; the current folder if there is none.
        address: of a Ray cluster.
    """
    yield look_at_programs()
    yield look_at_machine()
    for place in places or [Path()]:
        yield look_elsewhere(place) if isinstance(place, Address) else look_at_folder(place)
    yield look_at_hub()
    if address is not None:
        yield look_at_cluster(address)
