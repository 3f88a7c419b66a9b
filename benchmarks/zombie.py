"""What does a node that was cut off, taken for dead, and goes on writing do to the output? Nothing.

Three nodes make an output of a few large shards. The worker of one of them is
slowed down to a crawl and its node cut off. The driver takes it for dead, has
the shard made by another node, and finishes the output, while the zombie still
writes: its own log and the file that it holds open are followed and printed as
one timeline. Then the link is mended. Exit code 1 unless the zombie was seen
writing after its shard had been committed, and the output is byte for byte the
local run's, before the link was mended and after the zombie's end.

    python -m benchmarks.zombie
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.checkpoints import file_digests
from benchmarks.final_names import FinalNames
from benchmarks.soak_cluster import Machine, SoakCluster, send, soak_cluster, wait_for
from distexpand.jobs.request import JOB_VARIABLE, REQUEST_VARIABLE, encode_request, make_request
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint

RECIPE = "{model: m, layer_map: [[0, 4], [2, 6]]}"
SHARD_SIZE = 250_000_000
TASK = "ray::distexpand:"
# Nodes that can't reach the head would end themselves after a quarter of a minute: here they don't notice.
UNAWARE = {"RAY_raylet_liveness_self_check_interval_ms": "600000"}
_CRAWL_SHARE = 0.004
_PERIOD = 1_000_000
"""Microseconds, the longest that the kernel takes; a share of it has to be a thousand at least."""

_AFTERWARDS = 60.0
_GROUPS = Path("/sys/fs/cgroup/cpu")


@dataclass(kw_only=True)
class Zombie:
    """The worker that is cut off, what it writes, and what was seen of it: moments and words."""

    pid: int
    machine: Machine
    cut: float
    seen: list[tuple[float, str, str]] = field(default_factory=list)
    _last: int = -1

    def look(self) -> None:
        """Note how much of its file is there, if that has changed."""
        attempt = _open_attempt(self.pid)
        if attempt:
            written = _written(self.pid)
            if written > self._last:
                gone = "unlinked" if attempt.endswith("(deleted)") else "in the attempts' folder"
                self.note("zombie's file", f"{written / 1e6:.0f} MB written, {gone}")
                self._last = written

    def lives(self) -> bool:
        """Whether the worker is still there."""
        return self.pid in self.machine.pids()

    def note(self, who: str, words: str, *, moment: float | None = None) -> None:
        """Add a line to the timeline."""
        self.seen.append((moment or time.time(), who, words))


def main() -> int:
    arguments = measure.argument_parser(__doc__ or "").parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    with measure.work_directory(arguments.work) as directory:
        measure.need_free(directory, 6 * 10**9)
        reference = _prepare(directory)
        with soak_cluster(directory, directory / "m", through_links=False, variables=UNAWARE) as cluster:
            zombie, problems = _act(cluster, directory, reference)
        measure.print_heading("A node that was cut off and goes on writing", directory)
        _print(zombie)
    for problem in problems:
        print(f"PROBLEM: {problem}")
    return 1 if problems else 0


def _prepare(directory: Path) -> Path:
    shape = family("tinyllama-1.1b", num_layers=6, vocab_size=8000)
    write_checkpoint(directory / "m", shape, fill="random")
    (directory / "recipe").write_text(RECIPE)
    options = ("--model", f"m={directory / 'm'}", "--shard-size", str(SHARD_SIZE), "--quiet")
    measure.run_distexpand("run", directory / "recipe", directory / "reference", *options)
    return directory / "reference"


def _act(cluster: SoakCluster, directory: Path, reference: Path) -> tuple[Zombie, list[str]]:
    output, log = cluster.disk / "out", directory / "driver.log"
    expected = file_digests(reference)
    with FinalNames(output, reference, pause_seconds=0.02) as watcher:
        driver = _submit(cluster, directory, output, log)
        with _cut_off(cluster) as zombie:
            while driver.poll() is None:
                zombie.look()
                time.sleep(0.25)
            problems = [] if driver.returncode == 0 else [f"the driver ended with {driver.returncode}"]
            before = file_digests(output)
            zombie.note("here", "output complete; digests taken")
            _follow(zombie, 8)
            zombie.machine.host.mend()
            zombie.note("here", "link mended")
            _follow(zombie, _AFTERWARDS)
            zombie.note("here", "zombie has ended" if not zombie.lives() else "zombie is still there")
        _clean(output)
        after = file_digests(output)
    problems += watcher.problems
    problems += [] if before == expected else ["the output differed from the local run's"]
    problems += [] if after == expected else ["the output differed after the zombie's end"]
    _read_driver_log(zombie, log)
    _read_worker_logs(zombie)
    return zombie, problems + _unseen(zombie)


def _submit(cluster: SoakCluster, directory: Path, output: Path, log: Path) -> "subprocess.Popen[bytes]":
    request = make_request(
        RECIPE,
        origin="recipe",
        places={"m": str(directory / "m")},
        shard_size=SHARD_SIZE,
        output=str(output),
    )
    return cluster.drive({REQUEST_VARIABLE: encode_request(request), JOB_VARIABLE: "zombie"}, log)


@contextmanager
def _cut_off(cluster: SoakCluster) -> Iterator[Zombie]:
    """Slow the first worker down that begins an attempt, and cut its node off."""
    found: list[tuple[Machine, int]] = []

    def begun() -> bool:
        busy = ((machine, pid) for machine in cluster.nodes() for pid in machine.pids(TASK))
        found.extend((machine, pid) for machine, pid in busy if _open_attempt(pid))
        return bool(found)

    if not wait_for(begun, 60, pause=0.01):
        sys.exit("no attempt began within 60 s")
    machine, pid = found[0]
    send([pid], signal.SIGSTOP)
    group = _GROUPS / f"distexpand-zombie-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD))
        (group / "cpu.cfs_quota_us").write_text(str(int(_PERIOD * _CRAWL_SHARE)))
        (group / "cgroup.procs").write_text(str(pid))
        machine.host.cut()
        zombie = Zombie(pid=pid, machine=machine, cut=time.time())
        zombie.note("here", f"{machine.label} cut off; its worker gets {_CRAWL_SHARE:.1%} of a processor")
        send([pid], signal.SIGCONT)
        yield zombie
    finally:
        machine.host.kill()
        wait_for(lambda: _removed(group), 10)


def _removed(group: Path) -> bool:
    with suppress(OSError):
        group.rmdir()
    return not group.exists()


def _follow(zombie: Zombie, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and zombie.lives():
        zombie.look()
        time.sleep(0.25)


def _open_attempt(pid: int) -> str:
    """Return the attempt that a process holds open, as the kernel names it, or nothing."""
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = str(descriptor.readlink())
                if "/attempts/" in target or ".distexpand-done" in target:
                    return target
    return ""


def _written(pid: int) -> int:
    """Return the bytes that a process has given to the file system so far."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def _clean(output: Path) -> None:
    command = [*measure.distexpand_command(), "clean", str(output)]
    subprocess.run(command, env=measure.environment(), check=True, capture_output=True)


def _read_driver_log(zombie: Zombie, log: Path) -> None:
    """Add to the timeline what the driver told of shards and attempts."""
    words = {"attempt_lost": "lost", "attempt_doubled": "begun once more", "shard_done": "committed"}
    for line in log.read_text().splitlines():
        if not line.startswith('{"event"'):
            continue
        event: dict[str, Any] = json.loads(line)
        if event["event"] in words and event["time"] >= zombie.cut:
            what = f"{event['attempt']} {words[event['event']]} on {event['node']}"
            reason = f" ({event['reason']})" if "reason" in event else ""
            zombie.note("driver", what + reason, moment=event["time"])


def _read_worker_logs(zombie: Zombie) -> None:
    """Add what the workers of the cut-off node wrote to their own logs."""
    for log in zombie.machine.temp_dir.glob("session_2*/logs/worker-*.err"):
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith('{"time"'):
                told: dict[str, Any] = json.loads(line)
                figures = {name: told[name] for name in ("done_bytes", "seconds", "reason") if name in told}
                zombie.note(
                    "worker's log", f"{told['attempt']} {told['state']} {figures}", moment=told["time"]
                )


def _unseen(zombie: Zombie) -> list[str]:
    """Say if the timeline doesn't show what it is to show."""
    own = [words.split()[0] for _, who, words in zombie.seen if who == "worker's log"]
    shards = {attempt.rpartition(".")[0] for attempt in own}
    committed = [
        moment
        for moment, who, words in zombie.seen
        if who == "driver"
        and " committed " in words
        and words.split()[0].rpartition(".")[0] in shards
        and words.split()[0] not in own
    ]
    if not committed:
        return ["no shard of the zombie was committed by another node"]
    late = [words for moment, who, words in zombie.seen if who != "driver" and moment > min(committed)]
    if not any("writing" in words or "MB written" in words for words in late):
        return ["the zombie wasn't seen writing after its shard had been committed"]
    return []


def _print(zombie: Zombie) -> None:
    rows = [[f"{moment - zombie.cut:+.1f} s", who, words] for moment, who, words in sorted(zombie.seen)]
    measure.print_table(["moment", "who", "what"], rows)


if __name__ == "__main__":
    sys.exit(main())
