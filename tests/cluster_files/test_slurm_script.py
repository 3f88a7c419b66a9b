"""cluster/slurm against a stand-in for Slurm: how it ends, what it leaves, and real Ray under it."""

import re
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.small import small_model
from tests.batch.batches import Folder, states
from tests.cluster_files.slurm_stand_in import SLURM, Allocation, allocation, free_job

_PATIENCE = 240.0

# Ends at once with the code that FILE is called after; "long" ends with 130 on TERM.
_BATCH = """#!/bin/bash
echo "$@" >>"$STAND_IN/batch"
stat -c %a "$RAY_AUTH_TOKEN_PATH" >"$STAND_IN/token-mode"
case $2 in
  long*) trap 'exit 130' TERM; touch "$STAND_IN/began"; for _ in $(seq 600); do /bin/sleep 0.1; done ;;
  early) touch "$STAND_IN/began"; exec /bin/sleep 60 ;;
  *) exit "$2" ;;
esac
"""

_WIDE = {"hidden_size": 512, "intermediate_size": 1024, "vocab_size": 4000, "num_layers": 8}
_LONG = "{model: a, repeat: {layer_range: [0, 8], times: 16}}"


def wait_for_file(path: Path, script: subprocess.Popen[str]) -> None:
    """Wait for a file; its name may be a pattern."""
    deadline = time.monotonic() + _PATIENCE
    while not any(path.parent.glob(path.name)):
        assert script.poll() is None, script.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def finished(script: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = script.communicate(timeout=_PATIENCE)
    return script.returncode, output


def assert_nothing_is_left(slurm: Allocation) -> None:
    """The dashboard's children end a little after it; on a cluster the end of the step ends them."""
    deadline = time.monotonic() + _PATIENCE
    while (left := slurm.left_behind()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Allocation]:
    made = allocation(tmp_path / "job", real_ray=False)
    made.program("distexpand", _BATCH)
    yield made
    made.clear()


@pytest.fixture
def slurm_with_ray(tmp_path: Path) -> Iterator[Allocation]:
    made = allocation(tmp_path / "job", real_ray=True)
    yield made
    made.clear()


@pytest.mark.parametrize(("ends", "code"), [(0, 0), (1, 1), (2, 2), (75, 0)])
def test_the_job_ends_as_its_batch(slurm: Allocation, ends: int, code: int) -> None:
    script = slurm.start(str(ends))
    found, output = finished(script)
    assert found == code, output
    assert slurm.requeued == []
    assert_nothing_is_left(slurm)


def test_the_token_is_the_owners_alone_and_in_no_command_line(slurm: Allocation) -> None:
    script = slurm.start("long")
    wait_for_file(slurm.directory / "began", script)
    token = slurm.token_file.read_text()
    assert re.fullmatch("[0-9a-f]{64}", token)
    assert stat.S_IMODE(slurm.token_file.stat().st_mode) == 0o600
    assert (slurm.directory / "token-mode").read_text().strip() == "600"
    for process in slurm.processes():
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert token not in process.title
        assert token.encode() not in environment
    script.send_signal(signal.SIGTERM)
    assert finished(script)[0] == 130


@pytest.mark.parametrize(
    ("number", "file", "requeued"),
    [
        pytest.param(signal.SIGUSR1, "long", True, id="time limit"),
        pytest.param(signal.SIGTERM, "long", False, id="scancel"),
        pytest.param(signal.SIGUSR1, "early", True, id="time limit before the batch can handle it"),
    ],
)
def test_a_signal_stops_the_batch_and_only_the_time_limit_queues_it_again(
    slurm: Allocation, number: signal.Signals, file: str, requeued: bool
) -> None:
    script = slurm.start(file)
    wait_for_file(slurm.directory / "began", script)
    script.send_signal(number)
    code, output = finished(script)
    assert code == 130, output
    assert slurm.requeued == ([str(slurm.job)] if requeued else [])
    assert_nothing_is_left(slurm)


def test_a_job_that_was_queued_again_too_often_stays_away(slurm: Allocation) -> None:
    script = slurm.start("long", environment={"SLURM_RESTART_COUNT": "50"})
    wait_for_file(slurm.directory / "began", script)
    script.send_signal(signal.SIGUSR1)
    assert finished(script)[0] == 130
    assert slurm.requeued == []


def test_tasks_of_an_array_may_have_lists_of_their_own(slurm: Allocation) -> None:
    finished(slurm.start("%a", environment={"SLURM_ARRAY_TASK_ID": "2"}))
    assert (slurm.directory / "batch").read_text().split()[:2] == ["batch", "2"]


def test_a_job_whose_ray_does_not_start_says_so(slurm: Allocation) -> None:
    slurm.program("ray", "#!/bin/sh\nexit 1\n")
    script = slurm.start("0")
    code, output = finished(script)
    assert code == 1
    assert "Ray didn't start on 127.0.0.1" in output
    assert not (slurm.directory / "batch").exists()
    assert_nothing_is_left(slurm)


def test_jobs_that_follow_each_other_have_ports_of_their_own(tmp_path: Path) -> None:
    ports: list[int] = []
    first = free_job()
    for job in range(first, first + 3):
        made = allocation(tmp_path / str(job), real_ray=False, job=job)
        made.program("distexpand", _BATCH)
        finished(made.start("0"))
        calls = (made.directory / "ray").read_text()
        ports += map(int, re.findall(r"--(?:ray-client-server-|dashboard-)?port=(\d+)", calls))
    assert len(set(ports)) == len(ports) == 9


def test_directives_come_first_and_ask_for_what_the_script_relies_on() -> None:
    lines = (SLURM / "batch.sbatch").read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    directives = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    assert not any(line.startswith("#SBATCH") for line in lines[first:])
    assert {"--signal=B:USR1@120", "--requeue", "--ntasks-per-node=1"} <= set(directives)


def whole_shards(output: Path) -> dict[str, int]:
    """Return the shards that have their final names, and when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in output.glob("*.safetensors")}


@pytest.mark.slow
def test_real_ray_is_stopped_in_the_middle_and_the_next_allocation_goes_on(
    slurm_with_ray: Allocation, tmp_path: Path
) -> None:
    slurm = slurm_with_ray
    folder = Folder(tmp_path / "b", outputs=2)
    small_model(folder.path / "wide" / "a", shard_size=10**9, **_WIDE)
    (folder.path / "out0.yml").write_text(_LONG)
    wide = {"models": {"a": "wide/a"}, "shard_size": "10MB"}
    folder.write(folder.entry("out0", **wide), folder.entry("out1"), at_once=1)

    slowly = ("--max-in-flight", "1", "--threads", "1")
    first = slurm.start(str(folder.file), *slowly)
    wait_for_file(folder.path / "out0" / "model-*.safetensors", first)
    first.send_signal(signal.SIGUSR1)
    code, output = finished(first)
    assert (code, slurm.requeued) == (130, [str(slurm.job)]), output
    assert_nothing_is_left(slurm)
    made = whole_shards(folder.path / "out0")
    assert made
    assert (folder.path / "out0" / "UNFINISHED.txt").exists()
    assert not (folder.path / "out1").exists()

    second = slurm.start(str(folder.file), environment={"SLURM_RESTART_COUNT": "1"})
    code, output = finished(second)
    assert code == 0, output
    assert_nothing_is_left(slurm)
    assert whole_shards(folder.path / "out0").items() > made.items()
    assert states(folder.run("--status").document) == ["done", "done"]
