"""A committer is cut off at each of its steps in turn, another one takes over, and the first comes back."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from distexpand.api import run_plan
from distexpand.commit import lease
from distexpand.commit.committer import OutputMode
from distexpand.errors import DistexpandError
from distexpand.planning.model import Plan
from tests.api.small import BLOCKS, small_plan, tree
from tests.commit.crashes import CALLS
from tests.commit.hosts import on_host, run_some


@contextmanager
def _interrupted_at(step: int, interlude: Callable[[], None]) -> Iterator[list[str]]:
    """Let something else happen before the program's n-th call that changes the file system."""
    made: list[str] = []

    def wrap(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            if name == "open" and not int(arguments[1]) & os.O_CREAT:  # type: ignore[call-overload]
                return real(*arguments, **named)
            made.append(name)
            if len(made) == step:
                interlude()
            return real(*arguments, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, wrap(name, getattr(os, name)))
        yield made


@pytest.mark.parametrize(
    "others",
    [
        pytest.param((2,), id="another"),
        pytest.param((99,), id="another-that-finishes"),
        pytest.param((0, 2), id="two-others", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("mode", [OutputMode.FRESH, OutputMode.OVERWRITE], ids=["fresh", "overwrite"])
@pytest.mark.usefixtures("unbeaten")
def test_who_comes_back_at_any_step_harms_nothing(
    plan: Plan, expected: dict[str, bytes], earlier: Path, mode: OutputMode, others: tuple[int, ...]
) -> None:
    output = earlier.with_name("out")
    step = 1
    while True:
        if mode is OutputMode.OVERWRITE:
            shutil.copytree(earlier, output)
        others_made: list[dict[str, bytes]] = []
        interlude = partial(_take_over, plan, output, others, others_made)
        with _interrupted_at(step, interlude) as made:
            _fails(lambda: run_plan(plan, output, mode=mode, threads=1))
        if len(made) < step:
            break
        if others_made:
            found = tree(output)
            assert not {name for name, raw in others_made[-1].items() if found.get(name) != raw}, step
            with on_host("the last one", output, patience=0):
                run_plan(plan, output, mode=OutputMode.RESUME)
            assert tree(output) == expected, step
        shutil.rmtree(output)
        step += 1
    assert step > 50


@pytest.fixture
def earlier(model: Path, tmp_path: Path) -> Path:
    run_plan(small_plan(BLOCKS, model, shard_size=3000), tmp_path / "earlier")
    return tmp_path / "earlier"


@pytest.fixture
def unbeaten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no beat come between the steps that are counted."""
    monkeypatch.setattr(lease, "BEAT_SECONDS", 3600)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # a step all the same, but a short one


def _take_over(plan: Plan, output: Path, others: tuple[int, ...], made: list[dict[str, bytes]]) -> None:
    """Take the output over, one host after the other, each for so many shards; note what has final names."""
    for number, shards in enumerate(others):
        with on_host(f"host {number}", output, patience=0):
            if not _fails(partial(run_some, plan, output, OutputMode.RESUME, shards=shards)):
                made.append(
                    {name: raw for name, raw in tree(output).items() if name.endswith(".safetensors")}
                )


def _fails(work: Callable[[], object]) -> bool:
    try:
        work()
    except DistexpandError:
        return True
    return False
