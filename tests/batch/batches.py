"""Batch files over small models, and starts of them in processes of their own."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.api.small import BLOCKS, COPIES, small_model
from tests.cli.calls import Result, command

LOG_HOOK = ["sh", "-c", 'echo "$0" >> hooks.log', "{name}"]
DIFFERENT = (BLOCKS, COPIES, "{model: a, repeat: {layer_range: [1, 3], times: 2}}")


class Folder:
    """A folder with a model, recipes and a batch file that names them by relative paths."""

    def __init__(self, path: Path, *, outputs: int = 3, **changes: Any) -> None:
        self.path = path
        self.file = path / "nightly.yml"
        self.status = path / "nightly.status.json"
        path.mkdir(parents=True, exist_ok=True)
        small_model(path / "a", **changes)
        self.names = [f"out{number}" for number in range(outputs)]
        for number, name in enumerate(self.names):
            (path / f"{name}.yml").write_text(DIFFERENT[number % len(DIFFERENT)])
        self.write()

    def entry(self, name: str, **more: Any) -> dict[str, Any]:
        """Return the batch file's entry of an output."""
        return {"recipe": f"{name}.yml", "output": name, "models": {"a": "a"}, "shard_size": "5kB"} | more

    def write(self, *entries: dict[str, Any], **more: Any) -> None:
        """Write the batch file; every output where no entry is given."""
        listed = list(entries) or [self.entry(name) for name in self.names]
        document = {"after_each": LOG_HOOK, "retries": 0, "expansions": listed} | more
        self.file.write_text(yaml.safe_dump(document))

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        """Start the batch and return its process, at the head of a session of its own."""
        return subprocess.Popen(
            command("batch", self.file, "--json", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd="/",
        )

    def run(self, *arguments: object) -> Result:
        """Start the batch and wait for its end."""
        return ended(self.start(*arguments))

    def hooks(self) -> list[str]:
        """Return what the logging hook wrote, in order."""
        log = self.path / "hooks.log"
        return log.read_text().split() if log.exists() else []

    def shown(self) -> dict[str, dict[str, Any]]:
        """Return the entries that `--status` shows, by name."""
        result = self.run("--status")
        assert result.code == 0, result.err
        return by_name(result.document)


def ended(process: "subprocess.Popen[str]") -> Result:
    """Wait for a start's end; no bad input may end it with a traceback."""
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return Result(code=process.returncode, out=out, err=err)


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in document["expansions"]}


def states(document: dict[str, Any]) -> list[str]:
    return [entry["state"] for entry in document["expansions"]]


def until(condition: Callable[[], object], *, seconds: float = 60) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.01)


def family_of(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def kill_family(process: "subprocess.Popen[str]") -> None:
    """End a start and everything that it started, at once, as a cgroup's end does."""
    members = family_of(process.pid)
    os.kill(process.pid, signal.SIGSTOP)
    for pid in {*members, *family_of(process.pid)}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.communicate()


def written(path: Path) -> Any:
    return json.loads(path.read_text())
