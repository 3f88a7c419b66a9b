"""The lease: one committer for an output at a time, also where hosts share the directory.

Time-outs can't fence: a host that is taken for dead may only be cut off, and
come back. So whoever takes an output over *renames the run's folder*
(`run-000007` becomes `run-000008`), which is one atomic step on every file
system. Of two that try, one finds the folder gone. Everything that the earlier
committer and its workers still mean to do names the old folder, attempts and
journal alike, and fails. Taking over when the earlier one lives costs work,
never a byte.

When to take over is a question of manners only. On one machine an operating
system's lock on a file answers it at once. Elsewhere that lock may be worth
nothing (many network file systems don't share it), so the holder writes a
beat every few seconds and a contender watches for a while, by its own clock,
whether it changes.
"""

import errno
import fcntl
import json
import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from distexpand.commit.files import make_directory, remove
from distexpand.commit.work_directory import WorkDirectory, current, taken_over
from distexpand.errors import OutputTakenError
from distexpand.formats.json_record import record
from distexpand.pauses import pause
from distexpand.storage.local.os_errors import storage_error

BEAT_SECONDS = 2.0
PATIENCE_SECONDS = 20.0
"""A beat that hasn't changed for so long is that of a holder who is gone."""

_AGAIN_SECONDS = 0.5
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP})
_HOLDER_BYTES = 1024
_FIRST_TERMS = 900_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds an output. `place` tells machines and mounts apart, `run` is a job's name or empty."""

    key: str
    host: str
    place: str
    pid: int
    run: str
    beat: int = 0

    @property
    def words(self) -> str:
        """How a person would look for it."""
        return f"{self.run or 'process ' + str(self.pid)} on {self.host}"


class Lease:
    """Holds an output from `take` to `close`; a thread of its own keeps the beat."""

    def __init__(self, lock: int, work: WorkDirectory, holder: Holder) -> None:
        self.work = work
        self._lock = lock
        self._ended = threading.Event()
        threading.Thread(target=self._keep_beat, args=(holder,), daemon=True, name="lease").start()

    def lost(self) -> bool:
        """Whether another run has taken the output over."""
        try:
            self.work.holder.stat()
        except FileNotFoundError:
            return True
        except OSError:  # a mount that stalls says nothing of others
            return False
        return False

    def _keep_beat(self, holder: Holder) -> None:
        beat = holder.beat
        while not self._ended.wait(BEAT_SECONDS):
            beat += 1
            try:
                _write_beat(self.work.holder, Holder(**asdict(holder) | {"beat": beat}))
            except FileNotFoundError:
                return
            except OSError:
                continue

    def close(self) -> None:
        """Let go; the next one needn't wait."""
        self._ended.set()
        try:
            remove(self.work.holder)
        finally:
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1


def knock(output: Path, *, wait: float = 0.0, told: Callable[[str], None] | None = None) -> int:
    """Wait until nobody seems to hold the output; return the descriptor of its lock.

    Args:
        output: its work directory is made if missing.
        wait: seconds to wait for a holder that lives to end.
        told: gets one line for people if there is something to wait for.

    Raises:
        OutputTakenError: another run is at work on this output.
        StorageError: the lock file can't be made.
    """
    deadline = time.monotonic() + wait
    while True:
        descriptor, honoured = _locked(output)
        if descriptor is not None:
            alive = True
            try:
                alive = _is_alive(current(output), honoured=honoured)
            finally:
                if alive:
                    os.close(descriptor)
            if not alive:
                return descriptor
        if time.monotonic() >= deadline:
            _refuse(output)
        if told is not None:
            told(f"{output}: another run is writing this output; waiting up to {wait:.0f} s for it to end")
            told = None
        pause(_AGAIN_SECONDS)


def enter(output: Path, lock: int, *, run: str = "", before: WorkDirectory | None = None) -> Lease:
    """Become the output's committer: take the run's folder over, or make the first.

    Args:
        output: whose lock was got by `knock`.
        lock: the lock's descriptor.
        run: a name by which people find this run, such as a job's.
        before: the term that was looked at and is to be taken over; the newest, if not given.

    Raises:
        OutputTakenError: another run was faster.
        StorageError: the folder can't be made.
    """
    before = before or current(output)
    work = WorkDirectory(output=output, term=before.term + 1 if before.term > 1 else _first_term())
    try:
        if before.term:
            before.run.rename(work.run)
        else:
            _make_first(work)
        # Each step below names the run's folder and makes none: it may have been renamed since.
        work.attempts.mkdir(exist_ok=True)
        holder = Holder(
            key=secrets.token_hex(8),
            host=socket.gethostname(),
            place=_place(work.path),
            pid=os.getpid(),
            run=run,
        )
        work.holder.write_bytes(_encoded(holder))
    except (FileNotFoundError, FileExistsError):
        raise taken_over(output) from None
    except OSError as error:
        raise storage_error("create", work.run, error) from None
    return Lease(lock, work, holder)


def _first_term() -> int:
    """Return a number that no earlier run of this output had.

    Were it the same each time, who lost a run that is over by now would take the next one for its own.
    """
    return 2 + secrets.randbelow(_FIRST_TERMS)


def _make_first(work: WorkDirectory) -> None:
    """Make the folder of the first term, unless others had it and are in a later one.

    Of several that begin at once one makes the folder of term 1, which nobody works in.
    """
    begun = WorkDirectory(output=work.output, term=1)
    begun.run.mkdir()
    if current(work.output).term != begun.term:
        begun.run.rmdir()
        raise FileExistsError
    begun.run.rename(work.run)


def read_holder(work: WorkDirectory) -> Holder | None:
    """Return who holds the output, or nothing if it was let go or can't be told."""
    try:
        return record(Holder, json.loads(work.holder.read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _locked(output: Path) -> tuple[int | None, bool]:
    """Return a descriptor that holds the lock, or nothing while another process of this machine does.

    Also whether locks are worth anything here: some network file systems have none.
    """
    lock = WorkDirectory(output=output).lock
    while True:
        make_directory(lock.parent)
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:  # a run that finished took the folder away just now
            continue
        except OSError as error:
            raise storage_error("create", lock, error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                return descriptor, True
        except FileNotFoundError:
            pass
        except BlockingIOError:
            os.close(descriptor)
            return None, True
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return descriptor, False
            os.close(descriptor)
            raise storage_error("lock", lock, error) from None
        os.close(descriptor)


def _is_alive(work: WorkDirectory, *, honoured: bool) -> bool:
    """Whether a holder whom the lock doesn't tell of gives signs of life."""
    seen, holder = _raw(work), read_holder(work)
    if seen is None or (honoured and holder is not None and holder.place == _place(work.path)):
        return False
    # Looks are counted, not seconds: one that takes a minute, as storage stalls, stalls the beat too.
    for _ in range(math.ceil(PATIENCE_SECONDS / _AGAIN_SECONDS)):
        pause(_AGAIN_SECONDS)
        if (now := _raw(work)) != seen:
            return now is not None
    return False


def _raw(work: WorkDirectory) -> bytes | None:
    """Return the holder's file, or nothing if there is none.

    Raises:
        StorageError: it can't be read, which says nothing of the holder.
    """
    try:
        return work.holder.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error("read", work.holder, error) from None


def _refuse(output: Path) -> None:
    holder = read_holder(current(output))
    who = f" ({holder.words})" if holder else ""
    raise OutputTakenError(
        f"{output}: another run is writing this output{who}",
        hint="Wait for it to end, or choose another output.",
    )


def _place(path: Path) -> str:
    """Name the machine, as booted, and the mount: only there the operating system's lock is shared."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = socket.gethostname()
    return f"{boot}:{path.stat().st_dev}"


def _encoded(holder: Holder) -> bytes:
    """Return the holder in a fixed number of bytes, so that a beat overwrites it in one step."""
    return json.dumps(asdict(holder)).encode().ljust(_HOLDER_BYTES)


def _write_beat(path: Path, holder: Holder) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, _encoded(holder), 0)
    finally:
        os.close(descriptor)
