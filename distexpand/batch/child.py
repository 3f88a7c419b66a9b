"""A process of its own for each piece of work, ended cleanly when the batch is told to stop.

One process per expansion keeps memory flat over a long list, and a crash of
one takes no other along. The process inherits the descriptor of the
expansion's lock: should the batch itself be killed, what it left running goes
on holding the lock, and no other start begins the same work beside it.

Rejected: `python -m distexpand`, which imports from whatever folder the
scheduler happened to start in.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import distexpand

# This very package, and nothing else from where it lies.
_PROGRAM = """import sys
sys.path.insert(0, sys.argv[1])
import distexpand
del sys.path[0], sys.argv[1]
from distexpand.__main__ import main
main()"""
_LOOK_SECONDS = 0.2
_KEPT_BYTES = 64 * 1024
_CHUNK_BYTES = 64 * 1024
_DRAIN_SECONDS = 2.0
STOP_SECONDS = 60.0
"""How long a process may take to end after it was asked to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """How processes are run: `held` is a descriptor that they inherit, `folder` where they start.

    `stop` asks them to end, `hurry` ends them.
    """

    stop: threading.Event
    hurry: threading.Event
    held: int
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended: its code (minus the signal's number), and the last of what it wrote.

    `started` is false where there was no such program.
    """

    code: int
    output: str = ""
    messages: str = ""
    started: bool = True

    @property
    def reason(self) -> str:
        """Say how it ended."""
        if not self.started:
            return "can't be started"
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        try:
            return f"was ended by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"was ended by signal {-self.code}"


def own_command() -> list[str]:
    """Return how to start this program again with this Python."""
    root = Path(distexpand.__file__).resolve().parent.parent
    return [sys.executable, "-P", "-c", _PROGRAM, str(root)]


def run_child(command: Sequence[str], child: Child, *, apart: bool = False) -> Ended:
    """Run a command to its end, or until it is stopped.

    Args:
        command: the arguments; no shell reads them.
        child: how to run it.
        apart: keep standard output apart from the messages.
    """
    try:
        process = subprocess.Popen(  # noqa: S603  # arguments of the batch file or our own, no shell
            command,
            cwd=child.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if apart else subprocess.STDOUT,
            pass_fds=(child.held,),
            # Not in the terminal's group: Ctrl-C reaches it once, from us, and never as a second signal.
            process_group=0,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Ended(code=-1, messages=f"{command[0]}: {reason}", started=False)
    tails = [_Tail(stream) for stream in (process.stdout, process.stderr) if stream is not None]
    code = _wait(process, child)
    texts = [tail.text() for tail in tails]
    return Ended(code=code, output=texts[0] if apart else "", messages=texts[-1])


def _wait(process: subprocess.Popen[bytes], child: Child) -> int:
    asked: float | None = None
    while True:
        try:
            return process.wait(_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        if asked is None and child.stop.is_set():
            asked = time.monotonic()
            _signal(process.pid, signal.SIGTERM)
        elif asked is not None and (child.hurry.is_set() or time.monotonic() - asked > STOP_SECONDS):
            _signal(process.pid, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    """Send a signal; a hook that runs as another user (`sudo`) isn't ours to end, and is waited for."""
    with contextlib.suppress(PermissionError):
        os.killpg(group, number)


class _Tail:
    """Reads a stream to its end, so that its writer never waits, and keeps the last of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._stream:
            while chunk := os.read(self._stream.fileno(), _CHUNK_BYTES):
                self._kept += chunk
                del self._kept[:-_KEPT_BYTES]

    def text(self) -> str:
        """Return what was kept; what a hook left running in the background isn't waited for."""
        self._thread.join(_DRAIN_SECONDS)
        return bytes(self._kept).decode(errors="replace").strip()
