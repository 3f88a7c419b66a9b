"""Finds and kills the processes of simulated hosts, also after the test that started them has died.

`ray start` leaves daemons behind that no parent holds. They are known by two
marks that they can't lose: the session of the `ray start` that made them, and
a value in the environment that they inherit (a job's driver has a session of
its own). Run as a program, this file is the *reaper*: it reads sessions from
standard input, one a line, and when that ends, because the test closed it or
was killed, kills whatever carries a mark and removes the directory. Rejected:
psutil, which only some of Ray's wheels bring; `ray stop`, which stops every
cluster of the machine.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "DISTEXPAND_TEST_CLUSTER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A running process as /proc shows it; `title` is its command line or what it renamed itself to."""

    pid: int
    parent: int
    session: int
    title: str


def processes(*, sessions: Collection[int], mark: str) -> list[Process]:
    """Return the living processes of the sessions and those whose mark begins with `mark`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            state, parent, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if state not in "ZX" and (int(session) in sessions or _marked(entry, mark)):
                title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                found.append(
                    Process(pid=int(entry.name), parent=int(parent), session=int(session), title=title)
                )
    return found


def _marked(entry: Path, mark: str) -> bool:
    start = f"{MARK}={mark}".encode()
    with suppress(OSError):
        return any(variable.startswith(start) for variable in (entry / "environ").read_bytes().split(b"\0"))
    return False


def send(pids: Collection[int], number: signal.Signals) -> None:
    """Send a signal to those of the processes that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_all(*, sessions: Collection[int], mark: str, patience: float = 15.0) -> None:
    """Kill until nothing is left, since a process may be starting another one meanwhile.

    Raises:
        TimeoutError: something is still there after `patience` seconds.
    """
    deadline = time.monotonic() + patience
    while left := processes(sessions=sessions, mark=mark):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still running after SIGKILL: {left}")
        send([process.pid for process in left], signal.SIGKILL)
        time.sleep(0.05)


def _reap(mark: str, directory: Path) -> None:
    sessions = {int(line) for line in sys.stdin}
    kill_all(sessions=sessions, mark=mark)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _reap(sys.argv[1], Path(sys.argv[2]))
