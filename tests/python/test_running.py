"""`distexpand.run`, `verify` and `inspect`: the command line's outputs, progress, errors and interrupts."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import distexpand
from distexpand.report.watching.display import NoProgress
from tests.api.small import BLOCKS, COPIES, small_model, small_plan, tree
from tests.cli.calls import call

WIDE = {"hidden_size": 512, "intermediate_size": 1024, "vocab_size": 4000, "num_layers": 8}


def _run(recipe: Any, output: Any, model: Path, **options: Any) -> distexpand.RunResult:
    defaults = {"models": {"a": model}, "shard_size": 5000, "check_load": False}
    return distexpand.run(recipe, output, **{**defaults, **options})


def test_a_run_makes_the_command_line_s_bytes(recipe: Path, model: Path, tmp_path: Path) -> None:
    result = _run(recipe, tmp_path / "out", model, verify=True)
    told = call("run", recipe, tmp_path / "told", "--model", f"a={model}", "--shard-size", "5000B")
    assert told.code == 0, told.err
    assert tree(tmp_path / "out") == tree(tmp_path / "told")
    assert result.output == tmp_path / "out"
    assert [path.stat().st_size for path in map(Path, result.paths)] == [
        shard.size for shard in result.plan.plan.shards
    ]
    assert result.bytes == sum(path.stat().st_size for path in (tmp_path / "out").glob("*.safetensors"))
    assert result.made
    assert result.verified is not None
    assert result.verified.ok


def test_a_plan_runs_as_its_recipe_does_and_a_finished_output_is_left_alone(
    recipe: Path, model: Path, tmp_path: Path
) -> None:
    planned = distexpand.plan(recipe, models={"a": model}, shard_size=5000)
    assert distexpand.run(planned, str(tmp_path / "out"), check_load=False).made
    before = tree(tmp_path / "out")
    assert not _run(recipe, tmp_path / "out", model, resume=True).made
    assert tree(tmp_path / "out") == before
    with pytest.raises(distexpand.UsageError, match="model has no meaning with a plan"):
        distexpand.run(planned, tmp_path / "other", model=model)
    with pytest.raises(distexpand.UsageError, match="exclude each other"):
        _run(recipe, tmp_path / "other", model, resume=True, overwrite=True)


def test_files_of_others_are_in_the_way_before_the_load_check(
    recipe: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(recipe, tmp_path / "out", model)
    (tmp_path / "out" / "mine").write_text("precious")
    monkeypatch.setattr("distexpand.python.running.checked_load", None)
    with pytest.raises(distexpand.UsageError, match="holds mine, which distexpand didn't write"):
        _run(recipe, tmp_path / "out", model, overwrite=True, check_load=True)
    said = call("run", recipe, tmp_path / "out", "--model", f"a={model}", "--overwrite", "--check-load")
    assert said.code == 2
    assert "holds mine, which distexpand didn't write" in said.err


def test_progress_is_told_from_nothing_to_all(recipe: Path, model: Path, tmp_path: Path) -> None:
    told: list[distexpand.Progress] = []
    result = _run(recipe, tmp_path / "out", model, progress=told.append, verify=True)
    for stage in ("run", "verify"):
        of_stage = [progress for progress in told if progress.stage == stage]
        assert (of_stage[0].share, of_stage[-1].share) == (0, 1)
        assert [p.done_bytes for p in of_stage] == sorted(p.done_bytes for p in of_stage)
        assert {progress.total_bytes for progress in of_stage} == {result.bytes}
        assert [p.shard for p in of_stage if p.shard] or stage == "verify"
    assert {progress.shard for progress in told} >= set(result.shards)


class _Display(NoProgress):
    def __init__(self) -> None:
        self.bytes = 0

    def advance(self, nbytes: int) -> None:
        self.bytes += nbytes


def test_progress_may_be_a_display(recipe: Path, model: Path, tmp_path: Path) -> None:
    display = _Display()
    result = _run(recipe, tmp_path / "out", model, progress=display, threads=1)
    assert display.bytes == result.bytes


class _ToldEnoughError(Exception):
    pass


def test_what_the_callers_function_raises_ends_the_run_and_a_resume_goes_on(
    recipe: Path, model: Path, tmp_path: Path
) -> None:
    def enough(progress: distexpand.Progress) -> None:
        if progress.shards_done == 2:
            raise _ToldEnoughError

    with pytest.raises(_ToldEnoughError):
        _run(recipe, tmp_path / "out", model, progress=enough)
    assert not (tmp_path / "out" / "distexpand.json").exists()
    told: list[distexpand.Progress] = []
    _run(recipe, tmp_path / "out", model, resume=True, progress=told.append)
    assert told[0].shards_done >= 2
    _run(recipe, tmp_path / "whole", model)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_an_event_stops_a_run_from_another_thread(recipe: Path, model: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    with pytest.raises(distexpand.InterruptedRunError, match=r"(?s)interrupted.*resume"):
        _run(recipe, tmp_path / "out", model, stop=stop, progress=lambda p: p.shards_done and stop.set())
    assert _run(recipe, tmp_path / "out", model, resume=True).made


_INTERRUPTED = """
import sys, distexpand
recipe = "{model: a, repeat: {layer_range: [0, 8], times: 60}}"
def told(progress):
    print("told", flush=True)
try:
    distexpand.run(recipe, sys.argv[2], models={"a": sys.argv[1]}, shard_size="20MB", check_load=False,
                   clone=False, progress=told)
except KeyboardInterrupt as interrupt:
    assert isinstance(interrupt.__cause__, distexpand.InterruptedRunError)
    print("ended cleanly:", interrupt)
import signal
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


def test_an_interrupt_ends_a_run_cleanly_with_python_s_own_exception(tmp_path: Path) -> None:
    model = small_model(tmp_path / "a", shard_size=10**9, **WIDE)
    program = [sys.executable, "-c", _INTERRUPTED, str(model), str(tmp_path / "out")]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "told\n"
        assert process.stdout.readline() == "told\n"
        process.send_signal(signal.SIGINT)
        last = process.stdout.read().splitlines()[-1]
    assert process.returncode == 0
    assert last.startswith("ended cleanly: interrupted")
    assert last.endswith("go on with resume=True")
    assert (tmp_path / "out").is_dir()


def test_runs_in_many_threads_are_those_of_one(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")
    model = small_model(tmp_path / "a")
    recipes = {
        f"{factor}-{times}": {
            "merge_method": "passthrough",
            "slices": [
                {
                    "sources": [
                        {"model": "a", "layer_range": [0, 4], "parameters": {"scale": factor}},
                    ],
                    "repeat": times,
                }
            ],
        }
        for factor in (0.5, 1.0)
        for times in (1, 2, 3)
    }
    for name, recipe in recipes.items():
        _run(recipe, tmp_path / "alone" / name, model)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    failed: list[BaseException] = []

    def work(name: str, recipe: dict[str, Any]) -> None:
        try:
            result = _run(recipe, tmp_path / "together" / name, model, verify=True)
            assert result.made
        except BaseException as error:  # noqa: BLE001  # told by the main thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=item) for item in recipes.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert not failed
    assert after == 2
    assert tree(tmp_path / "together") == tree(tmp_path / "alone")


def test_two_runs_of_one_output_at_once_leave_one_whole_output(model: Path, tmp_path: Path) -> None:
    outcomes: list[object] = []

    def work() -> None:
        try:
            outcomes.append(_run(COPIES, tmp_path / "out", model).made)
        except distexpand.DistexpandError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome for outcome in outcomes if outcome is True] == [True]
    assert distexpand.verify(tmp_path / "out").ok


def test_verify_tells_what_differs(model: Path, tmp_path: Path) -> None:
    result = _run(COPIES, tmp_path / "out", model)
    report = distexpand.verify(tmp_path / "out", sources=True, models={"a": model})
    assert report.ok
    assert report.checks == ("structure", "content", "sources")
    shard = Path(result.paths[0])
    raw = bytearray(shard.read_bytes())
    raw[-1] ^= 1
    shard.chmod(0o644)
    shard.write_bytes(raw)
    damaged = distexpand.verify(tmp_path / "out")
    assert [difference.file for difference in damaged.differences] == [shard.name]


def test_verify_loads_what_loads_and_says_why_the_rest_doesn_t(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")
    _run(COPIES, tmp_path / "out", model, verify=True)
    assert distexpand.verify(tmp_path / "out", load=True).checks[-1] == "load"
    with pytest.raises(distexpand.UsageError, match="only an output on this machine"):
        distexpand.verify("s3://bucket/out", load=True)


def test_inspect_prints_as_the_command_line_does(model: Path) -> None:
    found = distexpand.inspect(model)
    assert found.stack.num_layers == 4
    assert str(found) == call("inspect", model).out.removesuffix("\n")
    assert found == distexpand.inspect(str(model))


def test_a_run_takes_seconds_as_it_says(model: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    result = _run(BLOCKS, tmp_path / "out", model)
    assert 0 < result.seconds <= time.monotonic() - started


def test_the_plan_that_ran_is_the_one_planned(model: Path, tmp_path: Path) -> None:
    assert _run(BLOCKS, tmp_path / "out", model).plan.plan == small_plan(BLOCKS, model)
