"""Interrupted while a server hangs or asks to be left alone: the first ends soon, the second at once."""

import json
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from distexpand.cli.interruption import how_to_resume
from distexpand.commit.manifest import MANIFEST_NAME
from tests.api.small import digests, small_model, tree
from tests.cli.calls import call, command
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.faults import Fault, Kind, Request, no_faults
from tests.support.range_server import range_server
from tests.support.store_environment import set_store_environment

pytest.importorskip("obstore", reason="needs pip install 'distexpand[stores]'")

WIDE = {"hidden_size": 512, "intermediate_size": 1024, "vocab_size": 4000, "num_layers": 8}
RECIPE = "{model: a, repeat: {layer_range: [0, 8], times: 2}}"
SOON_SECONDS = 3.0
"""Much less than the request's time-out, of 30 s, or the pause that is asked for."""


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("models") / "a", shard_size=10**9, **WIDE)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.yml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def proxy(wide: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    set_store_environment(monkeypatch, {})
    with range_server() as server:
        for path, raw in tree(wide).items():
            server.put(f"a/{path}", raw)
        with fault_proxy(server.endpoint) as proxy:
            yield proxy


def arguments(recipe: Path, proxy: FaultProxy, output: Path, *options: object) -> tuple[object, ...]:
    place = f"a={proxy.endpoint}/a"
    return ("run", recipe, output, "--model", place, "--shard-size", "10MB", "--threads", "1", *options)


def kinds(events: Path) -> list[str]:
    lines = events.read_text().splitlines() if events.exists() else []
    return [json.loads(line)["event"] for line in lines]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


@contextmanager
def run_among_faults(
    fault: Fault, proxy: FaultProxy, events: Path, *words: object
) -> Iterator[subprocess.Popen[str]]:
    """Run, and let everything go wrong as soon as a shard is finished."""
    met: list[Request] = []

    def plan(request: Request) -> Fault | None:
        if "shard_done" not in kinds(events):
            return None
        met.append(request)
        return fault

    proxy.plan = plan
    process = subprocess.Popen(command(*words), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: bool(met) or process.poll() is not None)
        yield process
    finally:
        process.kill()
        process.communicate()
        proxy.plan = no_faults


def resumed_to_the_same(recipe: Path, proxy: FaultProxy, output: Path, err: str, expected: Path) -> None:
    """Go on by the very command that was printed."""
    [line] = [line for line in err.splitlines() if "Go on with: " in line]
    printed = shlex.split(line.partition("Go on with: ")[2])
    assert printed[0] == "distexpand"
    assert printed[-1] == "--resume"
    assert call(*printed[1:]).code == 0
    place = f"a={proxy.endpoint}/a"
    assert call("run", recipe, expected, "--model", place, "--shard-size", "10MB").code == 0
    assert digests(output) == digests(expected)


def test_a_pause_that_a_server_asks_for_ends_with_the_first_interrupt(
    recipe: Path, proxy: FaultProxy, tmp_path: Path
) -> None:
    output, events = tmp_path / "out", tmp_path / "events"
    words = arguments(recipe, proxy, output, "--events", events)
    busy = Fault(kind=Kind.STATUS, status=503, seconds=300)
    with run_among_faults(busy, proxy, events, *words) as process:
        wait_until(lambda: "retried" in kinds(events))
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, err = process.communicate(timeout=60)
        assert time.monotonic() - began < SOON_SECONDS
    assert process.returncode == 130, err
    assert "error: interrupted" in err
    assert "Traceback" not in err
    told = [json.loads(line) for line in events.read_text().splitlines()]
    [again] = [event for event in told if event["event"] == "retried"][:1]
    assert again["place"].startswith(f"{proxy.endpoint}/a/")
    assert 200 < again["seconds"] <= 300
    assert (told[-1]["event"], told[-1]["exit_code"], told[-1]["made"]) == ("ended", 130, False)
    assert not (output / MANIFEST_NAME).exists()
    resumed_to_the_same(recipe, proxy, output, err, tmp_path / "expected")


def test_the_second_interrupt_waits_for_no_server(recipe: Path, proxy: FaultProxy, tmp_path: Path) -> None:
    output, events = tmp_path / "out", tmp_path / "events"
    words = arguments(recipe, proxy, output, "--events", events)
    with run_among_faults(Fault(kind=Kind.HANG, seconds=120), proxy, events, *words) as process:
        process.send_signal(signal.SIGINT)
        wait_until(lambda: "interrupt again to stop at once" in events.read_text())
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, err = process.communicate(timeout=60)
        assert time.monotonic() - began < SOON_SECONDS
    assert process.returncode == 130, err
    assert "stopping after the blocks under way" in err
    assert "error: stopped at once" in err
    assert len(list(output.glob("*.safetensors"))) > 0
    resumed_to_the_same(recipe, proxy, output, err, tmp_path / "expected")


def test_the_command_to_go_on_is_the_one_that_was_called() -> None:
    given = ["run", "a recipe.yml", "out", "--model", "a=/m", "--overwrite", "-q"]
    assert how_to_resume(given) == "Go on with: distexpand run 'a recipe.yml' out --model a=/m -q --resume"
    assert how_to_resume(["run", "--resume", "--", "-r", "o"]).endswith("run --resume -- -r o")
    assert how_to_resume(["run", "-", "o"]).endswith("--resume, with the same recipe on standard input")
