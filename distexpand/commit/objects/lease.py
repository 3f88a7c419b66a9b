"""The lease of an output in an object store: one committer at a time, whichever machine it is on.

A store has no locks, but it writes an object only if it still is what the writer saw. The lease is
one small object: who takes it over replaces exactly the version that it watched, so of two that try
one fails; the holder's beat replaces its own last version, so it notices. As with local leases,
time-outs only say when to take over. What fences is that the holder asks for the lease between
staging a file and giving it its name, and that whoever takes over first drops what is staged (see
`committer`).

The lease also says in which folder the run keeps its plan and receipts, so that a later run's and a
zombie's never have a name in common. Where a store ignores conditions, two runs that begin in the
same moment are told apart by looking again; that is noticed and said.
"""

import contextlib
import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from distexpand.commit.objects.lease_record import (
    LEASE_PATH,
    LeaseRecord,
    LeaseState,
    decode_lease,
    encode_lease,
    key_of,
    read_lease,
    state_of,
)
from distexpand.errors import OutputTakenError, StorageError
from distexpand.pauses import pause
from distexpand.storage.address import Address
from distexpand.storage.objects.files import ObjectFiles, Stored

_LOOKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds between beats, between looks at somebody else's, and until one without a beat is dead."""

    beat: float = 4.0
    look: float = 1.0
    patience: float = 20.0


class ObjectLease:
    """Holds an output from `take` to `close`; a thread of its own keeps the beat."""

    def __init__(self, files: ObjectFiles, own: LeaseRecord, *, pace: Pace) -> None:
        self._files = files
        self._own = own
        self._pace = pace
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._lost = False
        threading.Thread(target=self._keep_beat, daemon=True, name="lease").start()

    @property
    def folder(self) -> str:
        """The folder of the run that goes on."""
        return self._own.folder

    @property
    def lost(self) -> bool:
        """Whether it is known already that another run has taken the output over."""
        return self._lost

    def require_held(self) -> None:
        """Ask the store whether this is still the lease's holder.

        Raises:
            OutputTakenError: another run has taken the output over.
            StorageError: the store doesn't tell.
        """
        if not self._lost:
            found = self._files.read(LEASE_PATH)
            self._lost = found is None or key_of(found) != self._own.key
        if self._lost:
            raise taken_over(self._files.address)

    def move_to(self, folder: str) -> None:
        """Make another folder the run's.

        Raises:
            OutputTakenError: another run has taken the output over.
            StorageError: the store doesn't say that it is done.
        """
        self._change(folder=folder)

    def end(self) -> None:
        """Say that all is done, and that what is left of the run is being removed.

        Raises:
            OutputTakenError: another run has taken the output over.
            StorageError: the store doesn't say that it is done.
        """
        self._change(state=LeaseState.OVER)
        self._ended.set()

    def remove(self) -> None:
        """Remove the lease itself, after `end`.

        Raises:
            StorageError: it can't be removed.
        """
        self._files.remove([LEASE_PATH])

    def hurry(self) -> None:
        """Give up soon from now on, as what follows is only nice to have."""
        self._files = self._files.hasty()

    def close(self) -> None:
        """Let go; the next one needn't wait."""
        self._ended.set()
        if self._own.state == LeaseState.HELD and not self._lost:
            with contextlib.suppress(OutputTakenError, StorageError):
                self._change(state=LeaseState.RELEASED)

    def _keep_beat(self) -> None:
        while not self._ended.wait(self._pace.beat):
            try:
                self._change()
            except OutputTakenError:
                return
            except StorageError:
                continue

    def _change(self, **changes: str) -> None:
        """Replace the lease by the next beat of it, changed."""
        with self._lock:
            if self._ended.is_set() and not changes:
                return
            after = replace(self._own, **changes, beat=self._own.beat + 1)  # type: ignore[arg-type]
            if self._lost or not self._replaced(after):
                self._lost = True
                raise taken_over(self._files.address)
            self._own = after

    def _replaced(self, after: LeaseRecord) -> bool:
        """Replace the version that is there, if it is ours: of an earlier beat the answer may be lost.

        A refusal says that this version is gone, which may have been told wrongly; whose the lease
        is, it itself says.
        """
        for _ in range(_LOOKS):
            found = self._files.read(LEASE_PATH)
            if found is None or key_of(found) != self._own.key:
                return False
            if self._files.replace(LEASE_PATH, encode_lease(after), found.version) is not None:
                return True
        return False


def take(
    files: ObjectFiles,
    *,
    folder: str = "",
    run: str = "",
    wait: float = 0.0,
    told: Callable[[str], None] | None = None,
    pace: Pace,
) -> ObjectLease:
    """Become the output's committer, once nobody seems to be.

    Args:
        files: those of the output.
        folder: the run's, if there is one though no lease names it.
        run: a name by which people find this run, such as a job's.
        wait: seconds to wait for a holder that lives to end.
        told: gets lines for people: that there is something to wait for.
        pace: of this lease, and of the looks at another's.

    Raises:
        OutputTakenError: another run is at work on this output.
        StorageError: the store can't be asked.
    """
    deadline = time.monotonic() + wait
    while True:
        found = files.read(LEASE_PATH)
        if found is None or not _is_alive(files, found, pace):
            lease = _taken(files, found, folder=folder, run=run, told=told, pace=pace)
            if lease is not None:
                return lease
        elif time.monotonic() >= deadline:
            raise _refusal(files.address, read_lease(files))
        elif told is not None:
            told(
                f"{files.address}: another run is writing this output; "
                f"waiting up to {wait:.0f} s for it to end"
            )
            told = None


def taken_over(address: Address) -> OutputTakenError:
    """Return the error of a run that has lost its output to another one."""
    return OutputTakenError(
        f"{address}: another run has taken this output over",
        hint="Follow that one; this one was taken for dead and has ended.",
    )


def new_folder() -> str:
    """Return a name for a run's folder that no other run has."""
    return f"run-{secrets.token_hex(8)}"


def _taken(
    files: ObjectFiles,
    found: Stored | None,
    *,
    folder: str,
    run: str,
    told: Callable[[str], None] | None,
    pace: Pace,
) -> ObjectLease | None:
    """Try to take the lease that was found; nothing if another run was faster."""
    before = decode_lease(found) if found else None
    own = LeaseRecord(
        key=secrets.token_hex(8),
        host=socket.gethostname(),
        pid=os.getpid(),
        run=run,
        folder=before.folder if before else folder or new_folder(),
    )
    if found is None:
        version = files.create(LEASE_PATH, encode_lease(own))
    else:
        version = files.replace(LEASE_PATH, encode_lease(own), found.version)
    if version is None:
        return None
    second = replace(own, beat=own.beat + 1)
    if files.create(LEASE_PATH, encode_lease(second)) is None:
        return ObjectLease(files, own, pace=pace)
    if told is not None:
        told(f"{files.address}: this store ignores conditions: let only one run write this output at a time")
    pause(2 * pace.look)
    now = files.read(LEASE_PATH)
    if now is None or key_of(now) != own.key:
        return None
    return ObjectLease(files, second, pace=pace)


def _is_alive(files: ObjectFiles, found: Stored, pace: Pace) -> bool:
    """Whether the holder of a lease gives signs of life; looks are counted, as storage may stall them."""
    if state_of(found) == LeaseState.RELEASED:
        return False
    for _ in range(math.ceil(pace.patience / pace.look)):
        pause(pace.look)
        now = files.read(LEASE_PATH)
        if now is None or now.raw != found.raw:
            return now is not None and state_of(now) != LeaseState.RELEASED
    return False


def _refusal(address: Address, holder: LeaseRecord | None) -> OutputTakenError:
    who = f" ({holder.words})" if holder else ""
    return OutputTakenError(
        f"{address}: another run is writing this output{who}",
        hint="Wait for it to end, or choose another output.",
    )
