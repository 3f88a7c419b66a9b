"""`run --ray`: the bytes of a local run, from a throw-away cluster on this machine."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.commit.work_directory import current
from tests.api.small import COPIES, digests, small_model
from tests.cli.calls import call, command

WIDE = {"hidden_size": 512, "intermediate_size": 1024, "vocab_size": 4000, "num_layers": 8}
LONG = "{model: a, repeat: {layer_range: [0, 8], times: 12}}"


def test_the_bytes_are_a_local_run_s(tmp_path: Path) -> None:
    small_model(tmp_path / "a")
    recipe = tmp_path / "recipe.yml"
    recipe.write_text(COPIES)
    run = ("run", recipe, "--model", f"a={tmp_path / 'a'}", "--shard-size", "5KB")
    assert call(*run, tmp_path / "here", "--quiet").code == 0
    done = call(*run, tmp_path / "there", "--ray", "--json")
    assert done.code == 0, done.err
    assert done.document["bytes_done"] == sum(
        path.stat().st_size for path in (tmp_path / "there").glob("*.safetensors")
    )
    assert digests(tmp_path / "there") == digests(tmp_path / "here")
    again = call(*run, tmp_path / "there", "--ray", "--resume")
    assert again.code == 0
    assert "already finished" in again.err


def test_an_interrupted_run_goes_on_without_the_cluster(tmp_path: Path) -> None:
    small_model(tmp_path / "a", shard_size=10**9, **WIDE)
    recipe = tmp_path / "recipe.yml"
    recipe.write_text(LONG)
    run = ("run", recipe, "--model", f"a={tmp_path / 'a'}", "--shard-size", "10MB", "--quiet")
    output = tmp_path / "there"
    process = subprocess.Popen(
        command(*run, output, "--ray", "--max-in-flight", "1"), stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 60
    while not list(output.glob("model-*")) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    assert not (output / MANIFEST_NAME).exists()
    assert current(output).plan.exists()
    assert call(*run, output, "--resume").code == 0
    assert call(*run, tmp_path / "here").code == 0
    assert digests(output) == digests(tmp_path / "here")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--address", "auto"), "--address goes with --ray"),
        (("--per-node", "2"), "--per-node goes with --ray"),
        (("--ray", "--address", "ray://head:10001"), "Ray Client isn't supported"),
        (("--ray", "--address", "head"), "expected local, auto, or HOST:PORT"),
        (("--ray", "--address", "127.0.0.1:1"), "nobody answers there"),
    ],
)
def test_what_is_refused(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    small_model(tmp_path / "a")
    recipe = tmp_path / "recipe.yml"
    recipe.write_text(COPIES)
    done = call("run", recipe, tmp_path / "out", "--model", f"a={tmp_path / 'a'}", *options)
    assert done.code == 2
    assert words in done.err
    assert not (tmp_path / "out").exists()
