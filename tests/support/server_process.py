"""Servers of other projects, started by tests as processes of their own on this machine."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_LOOKS_PER_SECOND = 10


@contextmanager
def server_process(
    command: Sequence[str],
    *,
    directory: Path,
    is_ready: Callable[[], bool],
    seconds: float = 60,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the context ends; nothing that it stores is meant to outlive it.

    Args:
        command: the program and its arguments.
        directory: where it runs; its log is kept there.
        is_ready: whether it serves by now.
        seconds: how long that may take.
        environment: all of its variables, instead of this process's.

    Raises:
        RuntimeError: it ended, or didn't get ready in time.
    """
    log = directory / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_dying_with_its_parent(), *command],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        _wait(process, is_ready, seconds, log)
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _dying_with_its_parent() -> list[str]:
    """Return what keeps a server from outliving tests that are killed, where the system has it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _wait(process: subprocess.Popen[bytes], is_ready: Callable[[], bool], seconds: float, log: Path) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError):
            if is_ready():
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} isn't ready:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(1 / _LOOKS_PER_SECOND)
