"""The record that is the lease of an output in an object store: who holds it, and where its run is kept."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from distexpand.formats.json_record import record
from distexpand.storage.local.directories import WORK_DIRECTORY
from distexpand.storage.objects.files import ObjectFiles, Stored

LEASE_PATH = f"{WORK_DIRECTORY}/lease.json"


class LeaseState(StrEnum):
    """Held; let go of, for the next one to go on; or over, when everything of the run is being removed."""

    HELD = "held"
    RELEASED = "released"
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """Who holds an output: a key of its own, how people find it, and its run's folder."""

    key: str
    host: str
    pid: int
    run: str
    folder: str
    state: str = LeaseState.HELD
    beat: int = 0

    @property
    def words(self) -> str:
        """How a person would look for it."""
        return f"{self.run or 'process ' + str(self.pid)} on {self.host}"


def read_lease(files: ObjectFiles) -> LeaseRecord | None:
    """Return the lease, or nothing if there is none or it is damaged.

    Raises:
        StorageError: it can't be read.
    """
    found = files.read(LEASE_PATH)
    return decode_lease(found) if found else None


def encode_lease(lease: LeaseRecord) -> bytes:
    """Return the record as JSON text."""
    return json.dumps(asdict(lease)).encode()


def decode_lease(found: Stored) -> LeaseRecord | None:
    """Return the record of a file, or nothing if it is damaged."""
    try:
        return record(LeaseRecord, json.loads(found.raw))
    except (TypeError, ValueError, RecursionError):
        return None


def key_of(found: Stored) -> str:
    """Return the holder's key, empty if the lease is damaged."""
    lease = decode_lease(found)
    return lease.key if lease else ""


def state_of(found: Stored) -> str:
    """Return the state, empty if the lease is damaged."""
    lease = decode_lease(found)
    return lease.state if lease else ""
