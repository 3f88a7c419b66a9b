"""Processes that really are apart: one that is stopped and comes back, several that begin at once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from distexpand.api import run_plan
from distexpand.commit.committer import OutputMode
from distexpand.planning.model import Plan
from tests.api.small import COPIES, tree
from tests.commit.hosts import on_host
from tests.support.ray_cluster import ROOT, wait_until

_HOLD = """
import sys
from pathlib import Path
from distexpand.commit import lease
from distexpand.commit.committer import Committer, OutputMode
from distexpand.errors import DistexpandError
from tests.api.small import small_plan
from tests.commit.hosts import attempted, hold_sources, publish

lease.BEAT_SECONDS = 0.1
recipe, model, output = sys.argv[1:]
plan = small_plan(recipe, Path(model))
committer = Committer(Path(output), plan, OutputMode.FRESH)
hold_sources(committer)
committer.commit(attempted(committer, plan.shards[0]))
receipt = attempted(committer, plan.shards[1])
print("held", flush=True)
sys.stdin.readline()
for act in (
    lambda: committer.commit(receipt),
    lambda: attempted(committer, plan.shards[2]),
    lambda: publish(committer),
    committer.close,
):
    try:
        act()
        print("done", flush=True)
    except DistexpandError as error:
        print(error.message, flush=True)
"""

_RUN = """
import sys
from pathlib import Path
from distexpand.api import run_plan
from distexpand.commit.committer import OutputMode
from distexpand.errors import OutputError
from distexpand.report.watching.display import NoProgress
from tests.api.small import small_plan

recipe, model, output = sys.argv[1:]
plan = small_plan(recipe, Path(model))
print("ready", flush=True)
sys.stdin.readline()


class Seen(NoProgress):
    shards = 0

    def shard_done(self, name):
        self.shards += 1


seen = Seen()
try:
    run_plan(plan, Path(output), mode=OutputMode.RESUME, threads=1, progress=seen)
    print("made" if seen.shards == len(plan.shards) else "finished" if not seen.shards else "partly")
except OutputError as error:
    print(error.message)
"""


def _started(code: str, model: Path, output: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, COPIES, str(model), str(output)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() in {"held", "ready"}
    return process


def _said(process: subprocess.Popen[str]) -> list[str]:
    return process.communicate("go on\n", timeout=60)[0].splitlines()


def test_a_host_that_hangs_is_replaced_and_comes_back_as_a_zombie(
    plan: Plan, model: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    process = _started(_HOLD, model, output)
    try:
        os.kill(process.pid, signal.SIGSTOP)
        wait_until(
            lambda: ") T " in Path(f"/proc/{process.pid}/stat").read_text(), seconds=10, what="the stop"
        )
        with on_host("another", output, patience=1):
            run_plan(plan, output, mode=OutputMode.RESUME)
        assert tree(output) == expected
        os.kill(process.pid, signal.SIGCONT)
        committing, attempting, publishing, closing = _said(process)
    finally:
        process.kill()
        process.wait()
    for said in (committing, publishing):
        assert said == f"{output}: another run has taken this output over"
    assert "can't create: No such file or directory" in attempting
    assert closing == "done"
    assert tree(output) == expected


@pytest.mark.parametrize("count", [5])
def test_of_several_that_begin_at_once_one_does_the_work(
    model: Path, expected: dict[str, bytes], tmp_path: Path, count: int
) -> None:
    output = tmp_path / "out"
    processes = [_started(_RUN, model, output) for _ in range(count)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go on\n")
        process.stdin.flush()
    try:
        said = [process.communicate(timeout=120)[0].strip() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert all(process.returncode == 0 for process in processes)
    assert said.count("made") == 1, said
    for line in said:
        assert line in {"made", "finished"} or line.startswith(f"{output}: another run "), said
    assert tree(output) == expected
