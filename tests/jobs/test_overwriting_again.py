"""Which way a job opens its output: what it has begun is gone on with, also when it was told to overwrite."""

import shutil
import threading
from pathlib import Path

import pytest

from distexpand.api import run_plan
from distexpand.commit.committer import OutputMode
from distexpand.errors import InterruptedRunError
from distexpand.jobs.drive import _mode
from distexpand.jobs.request import make_request
from distexpand.planning.model import Plan
from tests.api.small import BLOCKS, COPIES, small_plan


@pytest.fixture
def plan(model: Path) -> Plan:
    return small_plan(BLOCKS, model)


@pytest.fixture
def other(model: Path) -> Plan:
    return small_plan(COPIES, model)


def chosen(plan: Plan, output: Path, *, overwrite: bool = True) -> OutputMode:
    request = make_request(
        BLOCKS,
        origin="r",
        places={"a": "/a"},
        shard_size=5000,
        output=str(output),
        overwrite=overwrite,
    )
    return _mode(request, plan, output)


def begin(plan: Plan, output: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedRunError):
        run_plan(plan, output, stop=stop)


def test_nothing_there(plan: Plan, tmp_path: Path) -> None:
    assert chosen(plan, tmp_path / "out", overwrite=False) is OutputMode.RESUME
    assert chosen(plan, tmp_path / "out") is OutputMode.OVERWRITE


def test_a_finished_output(plan: Plan, other: Plan, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run_plan(plan, output)
    assert chosen(plan, output) is OutputMode.RESUME
    assert chosen(other, output) is OutputMode.OVERWRITE
    next(output.glob("*.safetensors")).unlink()
    assert chosen(plan, output) is OutputMode.OVERWRITE
    (output / "distexpand.json").write_text("{")
    assert chosen(plan, output) is OutputMode.OVERWRITE


def test_an_unfinished_output(plan: Plan, other: Plan, tmp_path: Path) -> None:
    output = tmp_path / "out"
    begin(plan, output)
    assert chosen(plan, output) is OutputMode.RESUME
    assert chosen(other, output) is OutputMode.OVERWRITE
    shutil.rmtree(output)
    assert chosen(plan, output) is OutputMode.OVERWRITE
