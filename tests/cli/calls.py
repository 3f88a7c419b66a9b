"""Calling the command line, in this process and in one of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from distexpand.cli.main import run_cli


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Exit code and what was written."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


class Cli:
    """Calls `distexpand` in this process."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *arguments: object) -> Result:
        self._capture.readouterr()
        code = run_cli([str(argument) for argument in arguments])
        written = self._capture.readouterr()
        assert "Traceback" not in written.err
        return Result(code=code, out=written.out, err=written.err)


def command(*arguments: object) -> list[str]:
    """Return the command of a process of its own."""
    return [sys.executable, "-m", "distexpand", *(str(argument) for argument in arguments)]


def call(*arguments: object, stdin: str = "", cwd: Path | None = None) -> Result:
    """Call `distexpand` in a process of its own."""
    environment = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run(
        command(*arguments),
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
        check=False,
    )
    return Result(code=done.returncode, out=done.stdout, err=done.stderr)
