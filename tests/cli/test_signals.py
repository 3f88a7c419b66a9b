"""Interrupted by a signal: exit code 130, and resumable to the same bytes."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.commit.work_directory import NOTICE_NAME
from distexpand.storage.local.directories import WORK_DIRECTORY
from tests.api.small import digests, small_model
from tests.cli.calls import call, command

WIDE = {"hidden_size": 512, "intermediate_size": 1024, "vocab_size": 4000, "num_layers": 8}
LONG = "{model: a, repeat: {layer_range: [0, 8], times: 6}}"


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 36 MB, whose run takes long enough to be interrupted."""
    return small_model(tmp_path_factory.mktemp("models") / "a", shard_size=10**9, **WIDE)


@pytest.fixture(scope="module")
def run(wide: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    recipe = tmp_path_factory.mktemp("recipe") / "recipe.yml"
    recipe.write_text(LONG)
    return ("run", recipe, "--model", f"a={wide}", "--shard-size", "10MB", "--threads", "1", "--quiet")


@pytest.fixture(scope="module")
def expected(run: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    output = tmp_path_factory.mktemp("expected") / "out"
    assert call(*run, output).code == 0
    found = digests(output)
    shutil.rmtree(output)
    return found


@pytest.mark.parametrize(
    ("number", "shards"),
    [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGKILL, 1), (signal.SIGKILL, 4), (signal.SIGKILL, 8)],
)
def test_interrupted_and_resumed(
    run: tuple[object, ...], expected: dict[str, str], tmp_path: Path, number: signal.Signals, shards: int
) -> None:
    output = tmp_path / "out"
    process = subprocess.Popen(command(*run, output), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while len(list(output.glob("*.safetensors"))) < shards and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == (130 if number is not signal.SIGKILL else -signal.SIGKILL), err
    assert "Traceback" not in err
    left = digests(output)
    assert NOTICE_NAME in left
    assert MANIFEST_NAME not in left
    assert all(digest == expected[name] for name, digest in left.items() if name in expected)
    assert any(name.startswith(WORK_DIRECTORY) for name in left)
    done = {p.name: p.stat().st_ino for p in output.glob("*.safetensors")}
    assert 0 < len(done) < sum(name.endswith(".safetensors") for name in expected)
    assert call(*run, output).code == 2
    assert call(*run, output, "--resume").code == 0
    assert digests(output) == expected
    assert {name: (output / name).stat().st_ino for name in done} == done
    shutil.rmtree(output)


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_before_anything_begins_is_a_word_and_no_traceback(times: int) -> None:
    """At moments from the first import to the end, in a program that has nothing to do."""
    for delay in (0.02, 0.06, 0.1, 0.15, 0.2, 0.3):
        process = subprocess.Popen(
            command("plan", "nowhere.yml"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(times):
            time.sleep(delay)
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert "distexpand/cli" not in err, err
        if times == 1 and err.startswith("error: interrupted"):
            # Python ends by the signal if that came while it ran code from text, as dataclasses have it do;
            # a shell says 130 of both.
            assert process.returncode in {130, -signal.SIGINT}


def test_what_a_recipe_says_can_not_steer_the_terminal(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yml"
    recipe.write_text('"mo\\e[31mdel": a')
    shown = call("plan", recipe).err
    assert "mo?[31mdel" in shown
    assert "\x1b" not in shown
