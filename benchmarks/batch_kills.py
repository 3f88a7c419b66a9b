"""Is a batch, run from two terminals at once and killed over and over, right in the end?

Five outputs of 0.5 to 0.9 GB of a random 0.4 GB checkpoint. Two terminals run
the same batch file. Each start is ended at a random moment and started again:
by SIGKILL to it and all that it started (a container that goes), by SIGKILL to
it alone (what it started lives on), or by SIGTERM. When everything is done and
there are kills left, the outputs are removed and it begins anew. Exit code 1
unless, in every round:

- no shard was ever replaced, partial or of other bytes under its final name
  (`final_names.py` watches from the side);
- no hook ran beside itself, and none ran twice unless a kill cut it off or hit
  the moment between its end and its note;
- the status file was whole at every look, and says in the end that all is done;
- all files are byte for byte those of uninterrupted runs, with nothing left over.

    python -m benchmarks.batch_kills --kills 10
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from benchmarks import measure
from benchmarks.checkpoints import file_digests
from benchmarks.final_names import FinalNames
from tests.batch.batches import family_of
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint

TIMES = (5, 6, 7, 8, 9)
KINDS = ("all", "alone", "term")
HOOK = """
import fcntl, os, sys, time
name = sys.argv[1]
log = os.open("hooks.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
lock = os.open(f"{name}.hook", os.O_RDWR | os.O_CREAT)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    os.write(log, f"overlap {name}\\n".encode())
os.write(log, f"begin {name}\\n".encode())
time.sleep(0.3)
os.write(log, f"end {name}\\n".encode())
"""


@dataclass(kw_only=True)
class Terminal:
    """One of the two that start the batch: how often it may still be killed, and what became of it."""

    work: Path
    kills_left: int
    most_seconds: float
    random: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def until_done(self) -> None:
        """Start the batch, again and again, until a start ends by itself."""
        while True:
            process = _start(self.work)
            kind = self.random.choice(KINDS)
            moment = self.random.uniform(0.2, self.most_seconds)
            if self.kills_left and not _ends_within(process, moment):
                self.kills_left -= 1
                self.kills[kind] += 1
                _end(process, kind)
                continue
            out, err = process.communicate()
            if process.returncode != 0:
                self.problems.append(f"exit code {process.returncode}: {err[-500:]}")
            elif json.loads(out)["totals"]["done"] != len(TIMES):
                self.problems.append("a start ended with 0, but not all is done")
            return


@dataclass(kw_only=True)
class Round:
    """All outputs from nothing to done."""

    seconds: float = 0.0
    kills: str = ""
    hooks: str = ""
    looks: int = 0
    problems: list[str] = field(default_factory=list)


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--kills", type=int, default=10, help="of each terminal")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most-seconds", type=float, default=5.0, help="longest life of a start")
    arguments = parser.parse_args()
    with measure.work_directory(arguments.work) as work:
        measure.need_free(work, 12 * 10**9)
        seconds = _prepare(work)
        terminals = [
            Terminal(
                work=work,
                kills_left=arguments.kills,
                most_seconds=arguments.most_seconds,
                random=random.Random(arguments.seed + number),
            )
            for number in range(2)
        ]
        rounds = []
        while any(terminal.kills_left for terminal in terminals):
            rounds.append(_one_round(work, terminals))
            _clear(work)
        _print(rounds, seconds, work)
    return 1 if any(one.problems for one in rounds) else 0


def _names() -> list[str]:
    return [f"out-{times}" for times in TIMES]


def _prepare(work: Path) -> float:
    """Write the source, the recipes and the batch file; return the seconds of the uninterrupted runs."""
    shape = family("tinyllama-1.1b", num_layers=4, vocab_size=4000)
    write_checkpoint(work / "a", shape, fill="random")
    seconds = 0.0
    for times, name in zip(TIMES, _names(), strict=True):
        recipe = work / f"{name}.yml"
        recipe.write_text(f"{{model: a, repeat: {{layer_range: [2, 3], times: {times - 3}}}}}\n")
        options = ["--model", f"a={work / 'a'}", "--shard-size", "30MB", "--quiet"]
        reference = work / "reference" / name
        seconds += measure.run_distexpand("run", recipe, reference, *options).seconds
    hook = [sys.executable, "-S", "-c", HOOK, "{name}"]
    entries = [
        {"recipe": f"{name}.yml", "output": f"made/{name}", "models": {"a": "a"}, "shard_size": "30MB"}
        for name in _names()
    ]
    document = {"at_once": 2, "retries": 3, "after_each": ["verify", hook], "expansions": entries}
    (work / "batch.yml").write_text(yaml.safe_dump(document))
    return seconds


def _start(work: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*measure.distexpand_command(), "batch", str(work / "batch.yml"), "--wait", "--json", "--quiet"],
        cwd=measure.ROOT,
        env=measure.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _ends_within(process: "subprocess.Popen[str]", seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(process: "subprocess.Popen[str]", kind: str) -> None:
    """End a start in one of three ways."""
    if kind == "term":
        process.send_signal(signal.SIGTERM)
    elif kind == "alone":
        process.kill()
    else:
        process.send_signal(signal.SIGSTOP)
        for pid in family_of(process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    process.communicate()


def _one_round(work: Path, terminals: list[Terminal]) -> Round:
    outcome = Round()
    before = [terminal.kills.copy() for terminal in terminals]
    started = time.monotonic()
    with ExitStack() as stack:
        watchers = [
            stack.enter_context(
                FinalNames(work / "made" / name, work / "reference" / name, pause_seconds=0.02)
            )
            for name in _names()
        ]
        status = stack.enter_context(_StatusWatch(work / "batch.status.json"))
        threads = [threading.Thread(target=terminal.until_done) for terminal in terminals]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    outcome.seconds = time.monotonic() - started
    killed = [terminal.kills - earlier for terminal, earlier in zip(terminals, before, strict=True)]
    outcome.kills = " + ".join(
        " ".join(f"{count} {kind}" for kind, count in sorted(one.items())) or "none" for one in killed
    )
    outcome.looks = sum(watcher.looks for watcher in watchers) + status.looks
    for problems in (*(one.problems for one in (*watchers, *terminals)), status.problems):
        outcome.problems += problems
    outcome.problems += _differences(work)
    outcome.hooks, wrong = _hooks(work, kills=sum(one.total() for one in killed))
    outcome.problems += wrong + _status_problems(work)
    return outcome


def _differences(work: Path) -> list[str]:
    found, expected = file_digests(work / "made"), file_digests(work / "reference")
    return [
        f"{name}: differs from the uninterrupted run"
        for name in sorted(found.keys() | expected.keys())
        if found.get(name) != expected.get(name)
    ]


def _hooks(work: Path, *, kills: int) -> tuple[str, list[str]]:
    """Return how often hooks ran, and what is wrong with it."""
    counts = Counter(tuple(line.split()) for line in (work / "hooks.log").read_text().splitlines())
    problems = [f"{name}: the hook ran beside itself" for kind, name in counts if kind == "overlap"]
    problems += [f"{name}: the hook never ended" for name in _names() if not counts["end", name]]
    begun = sum(counts["begin", name] for name in _names())
    ended = sum(counts["end", name] for name in _names())
    if begun > len(TIMES) + kills:
        problems.append(f"hooks began {begun} times, with {kills} kills")
    return f"{begun} begun, {ended} ended", problems


def _status_problems(work: Path) -> list[str]:
    command = [*measure.distexpand_command(), "batch", str(work / "batch.yml"), "--status", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=measure.ROOT, check=True)
    problems = []
    for entry in json.loads(done.stdout)["expansions"]:
        manifest = json.loads((Path(entry["output"]) / "distexpand.json").read_text())
        if entry["state"] != "done" or entry["error"] or entry["plan"] != manifest["plan_digest"]:
            problems.append(f"{entry['name']}: status says {entry['state']}, {entry['error']}")
        if [hook["key"] for hook in entry["hooks"]] != [entry["plan"]] * 2:
            problems.append(f"{entry['name']}: status has {len(entry['hooks'])} hooks of this plan")
    return problems


class _StatusWatch:
    """Reads the status file again and again: it is whole at every look, and has every expansion."""

    def __init__(self, path: Path) -> None:
        self.problems: list[str] = []
        self.looks = 0
        self._path = path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            if self._path.exists():
                self.looks += 1
                self._look()

    def _look(self) -> None:
        try:
            document: dict[str, Any] = json.loads(self._path.read_bytes())
        except ValueError:
            self.problems.append("the status file was not whole")
            return
        if [entry["name"] for entry in document["expansions"]] != _names():
            self.problems.append("the status file lost an expansion")


def _clear(work: Path) -> None:
    shutil.rmtree(work / "made")
    shutil.rmtree(work / "batch.status.json.locks")
    (work / "batch.status.json").unlink()
    (work / "hooks.log").unlink()


def _print(rounds: list[Round], seconds: float, work: Path) -> None:
    size = sum(path.stat().st_size for path in (work / "reference").rglob("*.safetensors"))
    measure.print_heading("A batch from two terminals, killed and started again", work)
    print(
        f"{len(TIMES)} outputs, {measure.gigabytes(size)} in all; "
        f"uninterrupted runs one by one took {seconds:.1f} s.\n"
    )
    rows = [
        [
            number,
            one.kills,
            f"{one.seconds:.0f} s",
            one.hooks,
            one.looks,
            "WRONG" if one.problems else "each once, identical",
        ]
        for number, one in enumerate(rounds, start=1)
    ]
    measure.print_table(
        ["round", "kills by terminal", "took", "hooks", "looks from the side", "outputs"], rows
    )
    for number, one in enumerate(rounds, start=1):
        for line in one.problems[:10]:
            print(f"- PROBLEM {number}: {line}")


if __name__ == "__main__":
    sys.exit(main())
