"""One start at a time: made, left alone, gone on with, tried again, reported."""

import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.api.small import COPIES, identities, tree
from tests.batch.batches import Folder, by_name, ended, family_of, states, until, written
from tests.cli.calls import call


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "b")


def test_all_made_then_left_alone(folder: Folder, tmp_path: Path) -> None:
    folder.write(after_each=["verify", ["sh", "-c", 'echo "$0" >> hooks.log', "{name}"]], at_once=3)
    first = folder.run()
    assert first.code == 0, first.err
    assert states(first.document) == ["done"] * 3
    assert written(folder.status) == first.document
    for entry in first.document["expansions"]:
        assert entry["plan"] == written(Path(entry["output"]) / "distexpand.json")["plan_digest"]
        assert [done["key"] for done in entry["hooks"]] == [entry["plan"]] * 2
        assert entry["tries"] == 1
        assert entry["seconds"] > 0
        assert entry["error"] is None
    made = {name: identities(folder.path / name) for name in folder.names}
    options = ("--model", f"a={folder.path / 'a'}", "--shard-size", "5kB")
    call("run", folder.path / "out1.yml", tmp_path / "plain", *options)
    assert tree(folder.path / "out1") == tree(tmp_path / "plain")

    again = folder.run()
    assert again.code == 0
    assert {name: identities(folder.path / name) for name in folder.names} == made
    assert sorted(folder.hooks()) == folder.names
    unchanged = [entry | {"plan": ""} for entry in first.document["expansions"]]
    assert [entry | {"plan": ""} for entry in again.document["expansions"]] == unchanged


def test_an_entry_may_have_a_layout(folder: Folder, tmp_path: Path) -> None:
    folder.write(folder.entry("out0", layout="by-source"))
    assert folder.run().code == 0
    options = ("--model", f"a={folder.path / 'a'}", "--shard-size", "5kB", "--layout")
    for layout in ("layers", "by-source"):
        call("run", folder.path / "out0.yml", tmp_path / layout, *options, layout)
    assert tree(folder.path / "out0") == tree(tmp_path / "by-source") != tree(tmp_path / "layers")


def test_a_remade_output_gets_its_hooks_again(folder: Folder) -> None:
    folder.write(folder.entry("out0"))
    assert folder.run().code == 0
    shutil.rmtree(folder.path / "out0")
    assert folder.run().code == 0
    assert folder.hooks() == ["out0", "out0"]


def test_a_new_hook_runs_on_a_done_output(folder: Folder) -> None:
    folder.write(folder.entry("out0", after=[]))
    assert folder.run().code == 0
    assert folder.hooks() == []
    folder.write(folder.entry("out0"))
    assert folder.run().code == 0
    assert folder.hooks() == ["out0"]


def test_failures_are_reported_and_the_others_made(folder: Folder) -> None:
    (folder.path / "bad.yml").write_text("{model: a, layer_map: [[0, 99]]}")
    folder.write(
        folder.entry("bad"),
        folder.entry("out1"),
        folder.entry("out2", after=["sh", "-c", "echo one; echo two >&2; exit 3"]),
        folder.entry("out0", after=["no-such-program"]),
        retries=2,
    )
    result = folder.run()
    assert result.code == 1
    found = by_name(result.document)
    assert [found[name]["state"] for name in ("bad", "out1", "out2", "out0")] == [
        *("failed", "done", "failed", "failed")
    ]
    assert found["bad"]["error"]["kind"] == "RecipeError"
    assert found["bad"]["tries"] == 1, "wrong use is never tried again"
    assert found["out2"]["tries"] == 3
    assert found["out2"]["error"]["message"].endswith("ended with exit code 3\none\ntwo")
    assert found["out0"]["tries"] == 1
    assert "no-such-program" in found["out0"]["error"]["message"]
    assert result.document["totals"] | {"seconds": 0} == {
        "expansions": 4,
        "waiting": 0,
        "running": 0,
        "done": 1,
        "failed": 3,
        "interrupted": 0,
        "elsewhere": 0,
        "seconds": 0,
    }
    assert written(folder.status)["totals"] == result.document["totals"]


def test_what_passes_is_tried_again(folder: Folder) -> None:
    once = ["sh", "-c", "test -e passed || { touch passed; exit 1; }"]
    folder.write(folder.entry("out0", after=once), retries=1)
    result = folder.run()
    assert result.code == 0, result.err
    assert by_name(result.document)["out0"]["tries"] == 2
    assert "again in" in result.err


def test_damage_found_by_verify_fails_without_another_try(folder: Folder) -> None:
    folder.write(folder.entry("out0"))
    assert folder.run().code == 0
    shard = next((folder.path / "out0").glob("*.safetensors"))
    raw = bytearray(shard.read_bytes())
    raw[-1] ^= 1
    shard.write_bytes(raw)
    folder.write(folder.entry("out0", after="verify"), retries=3)
    result = folder.run()
    assert result.code == 1
    entry = by_name(result.document)["out0"]
    assert entry["error"]["kind"] == "VerificationError"
    assert shard.name in entry["error"]["message"]
    assert entry["tries"] == 1


def test_another_plan_needs_overwrite(folder: Folder) -> None:
    folder.write(folder.entry("out0"))
    before = by_name(folder.run().document)["out0"]["plan"]
    (folder.path / "out0.yml").write_text(COPIES)
    refused = folder.run()
    assert refused.code == 1
    error = by_name(refused.document)["out0"]["error"]
    assert "another plan" in error["message"]
    assert "`overwrite: true`" in error["hint"]
    folder.write(folder.entry("out0", overwrite=True))
    replaced = folder.run()
    assert replaced.code == 0, replaced.err
    assert by_name(replaced.document)["out0"]["plan"] != before
    assert folder.hooks() == ["out0", "out0"]
    made = identities(folder.path / "out0")
    assert folder.run().code == 0, "what is done by this plan is left alone, also with overwrite"
    assert identities(folder.path / "out0") == made


def test_a_file_that_went_is_made_anew_with_overwrite(folder: Folder) -> None:
    folder.write(folder.entry("out0"))
    assert folder.run().code == 0
    lost = folder.path / "out0" / "config.json"
    lost.unlink()
    refused = folder.run()
    assert refused.code == 1
    assert "`overwrite: true`" in by_name(refused.document)["out0"]["error"]["hint"]
    folder.write(folder.entry("out0", overwrite=True))
    assert folder.run().code == 0
    assert lost.exists()
    assert folder.hooks() == ["out0", "out0"]


def test_overwrite_never_takes_what_is_not_ours(folder: Folder) -> None:
    (folder.path / "out0").mkdir()
    (folder.path / "out0" / "thesis.txt").write_text("mine")
    folder.write(folder.entry("out0", overwrite=True))
    result = folder.run()
    assert result.code == 1
    assert "thesis.txt" in by_name(result.document)["out0"]["error"]["message"]
    assert [path.name for path in (folder.path / "out0").iterdir()] == ["thesis.txt"]


def test_a_bad_file_or_call_is_exit_code_2(folder: Folder) -> None:
    assert folder.run("--status", "--wait").code == 2
    folder.write(at_once="many")
    result = folder.run()
    assert result.code == 2
    assert "at_once" in result.document["error"]["message"]
    folder.write()
    folder.status.write_text("{}")
    kept = folder.run()
    assert kept.code == 2
    assert "not a batch's status" in kept.document["error"]["message"]
    assert folder.status.read_text() == "{}"


def test_status_of_a_batch_that_never_ran_changes_nothing(folder: Folder) -> None:
    before = tree(folder.path)
    assert {entry["state"] for entry in folder.shown().values()} == {"waiting"}
    table = call("batch", folder.file, "--status")
    assert table.code == 0
    assert all(name in table.out for name in folder.names)
    assert tree(folder.path) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_start_stops_its_processes_and_is_gone_on_with(
    folder: Folder, number: signal.Signals
) -> None:
    folder.write(after_each=["sh", "-c", "touch {name}.began; exec sleep 60"], at_once=2)
    process = folder.start()
    until(lambda: len(list(folder.path.glob("*.began"))) == 2)
    members = family_of(process.pid)
    process.send_signal(number)
    result = ended(process)
    assert result.code == 130, result.err
    assert states(result.document) == ["interrupted", "interrupted", "waiting"]
    assert not any(Path(f"/proc/{pid}").exists() for pid in members)
    folder.write()
    assert folder.run().code == 0
    assert sorted(folder.hooks()) == folder.names


def test_a_second_signal_ends_what_will_not_end(folder: Folder) -> None:
    stubborn = "import signal, time, pathlib; signal.signal(15, lambda *_: None);"
    stubborn += "pathlib.Path('began').touch(); [time.sleep(0.1) for _ in range(999)]"
    folder.write(folder.entry("out0", after=[sys.executable, "-c", stubborn]))
    process = folder.start()
    until((folder.path / "began").exists)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(TimeoutError):
        _quickly(process)
    process.send_signal(signal.SIGTERM)
    assert ended(process).code == 130


def _quickly(process: object) -> None:
    import subprocess  # noqa: PLC0415

    assert isinstance(process, subprocess.Popen)
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
