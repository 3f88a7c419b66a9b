"""Several starts of one batch at once, and killed ones: each output made once, each hook run once."""

import os
import signal
from pathlib import Path

import pytest

from distexpand.commit.lease import knock
from tests.api.small import digests, identities
from tests.batch.batches import Folder, by_name, ended, kill_family, states, until
from tests.cli.calls import call

WIDE = {"hidden_size": 256, "intermediate_size": 1024, "vocab_size": 4000, "num_layers": 8}
HOLD = ["sh", "-c", 'echo "$0" >> hooks.log; while test ! -e go; do sleep 0.05; done', "{name}"]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "b", outputs=4)


def test_two_at_once_make_each_output_once(folder: Folder) -> None:
    folder.write(at_once=2)
    one, other = folder.start("--wait"), folder.start("--wait")
    results = [ended(one), ended(other)]
    assert [result.code for result in results] == [0, 0]
    assert all(states(result.document) == ["done"] * 4 for result in results)
    assert sorted(folder.hooks()) == folder.names
    begun = [line for result in results for line in result.err.splitlines() if line.endswith(": being made")]
    assert sorted(begun) == [f"{name}: being made" for name in folder.names]


def test_what_another_start_has_in_hand_is_elsewhere(folder: Folder) -> None:
    folder.write(folder.entry("out0", after=HOLD), folder.entry("out1"))
    holder = folder.start()
    until(lambda: folder.hooks().count("out0"))
    until(lambda: folder.shown()["out1"]["state"] == "done")
    shown = folder.shown()["out0"]
    assert shown["state"] == "running"
    assert shown["doing"].startswith("after: sh")
    assert shown["runner"]["pid"] == holder.pid
    other = folder.run()
    assert other.code == 75
    assert states(other.document) == ["elsewhere", "done"]
    assert "out0: another start has it in hand" in other.err
    waiter = folder.start("--wait")
    (folder.path / "go").touch()
    assert ended(holder).code == 0
    assert ended(waiter).code == 0
    assert sorted(folder.hooks()) == ["out0", "out1"]


def test_failures_count_more_than_what_is_elsewhere(folder: Folder) -> None:
    folder.write(folder.entry("out0", after=HOLD), folder.entry("out1", after=["false"]))
    holder = folder.start()
    until(lambda: folder.hooks().count("out0"))
    until(lambda: folder.shown()["out1"]["state"] == "failed")
    assert folder.run().code == 1
    (folder.path / "go").touch()
    assert ended(holder).code == 1


def test_a_waiting_start_takes_over_from_a_killed_one(folder: Folder) -> None:
    folder.write(folder.entry("out0", after=HOLD))
    holder = folder.start()
    until(lambda: folder.hooks().count("out0"))
    waiter = folder.start("--wait")
    kill_family(holder)
    (folder.path / "go").touch()
    assert ended(waiter).code == 0
    assert folder.hooks() == ["out0", "out0"], "a hook that was cut off is run again"


def test_a_killed_start_leaves_its_processes_the_lock(folder: Folder) -> None:
    folder.write(folder.entry("out0", after=HOLD))
    holder = folder.start()
    until(lambda: folder.hooks().count("out0"))
    os.killpg(holder.pid, signal.SIGKILL)
    holder.communicate()
    other = folder.run()
    assert other.code == 75, "the hook still runs, and isn't run beside itself"
    assert folder.shown()["out0"]["state"] == "running"
    (folder.path / "go").touch()
    until(lambda: folder.shown()["out0"]["state"] == "interrupted")
    assert folder.run().code == 0


def test_what_a_run_by_hand_is_making_is_elsewhere(folder: Folder) -> None:
    output = folder.path / "out0"
    folder.write(folder.entry("out0"), folder.entry("out1"))
    lock = knock(output)
    result = folder.run()
    assert result.code == 75
    assert states(result.document) == ["elsewhere", "done"]
    assert "another run is writing this output" in by_name(result.document)["out0"]["error"]["message"]
    waiter = folder.start("--wait")
    until(lambda: folder.shown()["out0"]["state"] == "elsewhere")
    os.close(lock)
    assert ended(waiter).code == 0


def test_killed_in_the_middle_and_gone_on_with(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "b", outputs=2, shard_size=10**9, **WIDE)
    recipe = "{model: a, repeat: {layer_range: [0, 8], times: 8}}"
    (folder.path / "out0.yml").write_text(recipe)
    folder.write(*(folder.entry(name, shard_size="4MB") for name in folder.names), at_once=1)
    plain = tmp_path / "plain"
    model = ("--model", f"a={folder.path / 'a'}")
    assert call("run", folder.path / "out0.yml", plain, *model, "--shard-size", "4MB").code == 0
    process = folder.start()
    until(lambda: len(identities(folder.path / "out0")) >= 3)
    kill_family(process)
    made = identities(folder.path / "out0")
    assert len(made) < len(identities(plain))
    shown = folder.shown()
    assert (shown["out0"]["state"], shown["out1"]["state"]) == ("interrupted", "waiting")
    assert shown["out0"]["runner"]["pid"] == process.pid
    result = folder.run()
    assert result.code == 0, result.err
    assert made.items() <= identities(folder.path / "out0").items()
    assert digests(folder.path / "out0") == digests(plain)
    assert sorted(folder.hooks()) == folder.names
    assert by_name(result.document)["out0"]["state"] == "done"
