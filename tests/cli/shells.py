"""Shells in terminals of their own, typed into as a person does."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>()][0-9A-B]?|[\x07\r]")


class Shell:
    """A shell that waits at a terminal."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self.seen = ""

    def type(self, text: str) -> None:
        """Type a text; a tab asks for completion."""
        os.write(self._terminal, text.encode())

    def shows(self, pattern: str, *, seconds: float = 20.0) -> bool:
        """Whether what is shown from now on comes to match a pattern."""
        until = time.monotonic() + seconds
        while not re.search(pattern, self.seen):
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                return False
            self.seen += _CONTROL.sub("", os.read(self._terminal, 65536).decode(errors="replace"))
        self.seen = ""
        return True


def on_terminal(*command: object, columns: int) -> tuple[int, str]:
    """Run a program whose standard error is a terminal; return its exit code and what it wrote there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=environment | {"TERM": "xterm"},
    )
    os.close(theirs)
    written = b""
    try:
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            written += part
        return process.wait(), written.decode()
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@contextmanager
def started(*command: str, folder: Path) -> Iterator[Shell]:
    """Start a shell in a folder, where `distexpand` is the program that is tested."""
    programs = folder / "bin"
    programs.mkdir()
    program = programs / "distexpand"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m distexpand "$@"\n')
    program.chmod(0o755)
    ours, theirs = pty.openpty()
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(folder),
        "TERM": "dumb",
        "PS1": "> ",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Shell(ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
