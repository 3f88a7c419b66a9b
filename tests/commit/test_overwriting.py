"""What `--overwrite` may remove, what it checks before, and outputs that are damaged or incomplete."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from distexpand.api import run_plan, verify_output
from distexpand.commit.committer import OutputMode
from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.commit.occupied import require_place
from distexpand.commit.work_directory import DONE_PREFIX, NOTICE_NAME, current
from distexpand.errors import OutputError, StorageError, UsageError
from distexpand.planning.model import Plan, TextFile
from distexpand.runner import room
from distexpand.storage.local.directories import WORK_DIRECTORY
from tests.api.small import BLOCKS, small_plan, tree
from tests.commit.crashes import crash_at


@pytest.fixture
def output(plan: Plan, tmp_path: Path) -> Path:
    run_plan(plan, tmp_path / "out")
    return tmp_path / "out"


def _unfinished(plan: Plan, output: Path) -> Path:
    """Leave a run of which every shard has its final name."""
    step = 20
    while not output.exists() or len(list(output.glob("*.safetensors"))) < len(plan.shards):
        shutil.rmtree(output, ignore_errors=True)
        assert crash_at(step, lambda: run_plan(plan, output, threads=1))
        step += 2
    assert not (output / MANIFEST_NAME).exists()
    return output


def test_without_room_the_old_output_stays(
    output: Path, model: Path, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    bigger = small_plan("{model: a, layer_map: [[0, 4], [0, 4], [0, 4], [0, 4], [0, 4], [0, 4]]}", model)
    monkeypatch.setattr(room, "free_disk", lambda _: 0)
    with pytest.raises(StorageError, match="would become so") as caught:
        run_plan(bigger, output, mode=OutputMode.OVERWRITE)
    assert "--resume" not in caught.value.hint
    assert tree(output) == expected


def test_the_room_of_the_old_output_counts(
    output: Path, plan: Plan, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "free_disk", lambda place: 0 if (place / MANIFEST_NAME).exists() else 10**9)
    run_plan(plan, output, mode=OutputMode.OVERWRITE)
    assert tree(output) == expected


def _edit_card(output: Path) -> str:
    (output / "README.md").write_text("my own words")
    return "README.md"


def _fine_tune(output: Path) -> str:
    shard = min(output.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes() + b"\0")
    return shard.name


def _other_tensors(output: Path) -> str:
    shard = min(output.glob("*.safetensors"))
    raw = shard.read_bytes()
    shard.write_bytes(raw.replace(b"model.", b"mOdel.", 1))
    assert shard.read_bytes() != raw
    return shard.name


@pytest.mark.parametrize("change", [_edit_card, _fine_tune, _other_tensors])
@pytest.mark.parametrize("finished", [True, False], ids=["finished", "unfinished"])
def test_what_was_changed_since_isn_t_removed(plan: Plan, tmp_path: Path, change, finished: bool) -> None:
    output = tmp_path / "out"
    if finished:
        run_plan(plan, output)
    else:
        _unfinished(plan, output)
    name = change(output)
    before = tree(output)
    with pytest.raises(UsageError, match="as it is now") as caught:
        run_plan(plan, output, mode=OutputMode.OVERWRITE)
    assert name in caught.value.message
    assert "Move it away" in caught.value.hint
    assert tree(output) == before
    (output / name).rename(tmp_path / "mine")
    run_plan(plan, output, mode=OutputMode.OVERWRITE)
    assert verify_output(output).ok


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "shard", "README.md"])
def test_a_finished_output_that_lost_a_file_isn_t_done(
    output: Path, plan: Plan, expected: dict[str, bytes], name: str
) -> None:
    name = plan.shards[1].name if name == "shard" else name
    (output / name).unlink()
    with pytest.raises(OutputError, match="is missing since") as caught:
        run_plan(plan, output, mode=OutputMode.RESUME)
    assert name in caught.value.message
    assert "--overwrite" in caught.value.hint
    run_plan(plan, output, mode=OutputMode.OVERWRITE)
    assert tree(output) == expected


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "shard", "model.safetensors.index.json"])
def test_a_finished_output_with_a_truncated_file_isn_t_done(output: Path, plan: Plan, name: str) -> None:
    name = plan.shards[1].name if name == "shard" else name
    (output / name).write_bytes((output / name).read_bytes()[:-1])
    with pytest.raises(OutputError, match="bytes instead of") as caught:
        run_plan(plan, output, mode=OutputMode.RESUME)
    assert name in caught.value.message
    (output / name).unlink()
    run_plan(plan, output, mode=OutputMode.OVERWRITE)
    assert verify_output(output).ok


@pytest.mark.parametrize("raw", [b"", b"x", b"{}", b'{"format_version": 99}', b"\x28\xb5\x2f\xfd\0\0"])
def test_a_damaged_or_older_plan_is_no_dead_end(
    model: Path, plan: Plan, expected: dict[str, bytes], tmp_path: Path, raw: bytes
) -> None:
    output = tmp_path / "out"
    earlier = small_plan(BLOCKS, model, shard_size=3000)
    assert crash_at(60, lambda: run_plan(earlier, output, threads=1))
    assert any(output.glob("*.safetensors"))
    stored = current(output).plan
    stored.write_bytes(raw)
    with pytest.raises(UsageError) as caught:
        run_plan(plan, output, mode=OutputMode.RESUME)
    assert caught.value.message.count(str(stored)) == 1
    assert "--overwrite" in caught.value.hint
    (output / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match=r"holds mine\.txt") as caught:
        run_plan(plan, output, mode=OutputMode.OVERWRITE)
    assert "--overwrite" not in caught.value.hint
    (output / "mine.txt").unlink()
    run_plan(plan, output, mode=OutputMode.OVERWRITE)
    assert tree(output) == expected


def test_a_journal_can_t_name_files_elsewhere(plan: Plan, tmp_path: Path) -> None:
    output, victim = tmp_path / "out", tmp_path / "victim"
    victim.write_text("precious")
    assert crash_at(60, lambda: run_plan(plan, output, threads=1))
    current(output).plan.write_bytes(b"x")
    receipt = {"shard": "../victim", "attempt": "x", "size": 8, "digest": "", "tensors": [], "seconds": 0.0}
    with current(output).journal.open("a") as journal:
        journal.write("\n" + json.dumps(receipt) + "\n")
    run_plan(plan, output, mode=OutputMode.OVERWRITE)
    assert victim.read_text() == "precious"


def _reworded(plan: Plan, name: str) -> Plan:
    texts = [text for text in plan.texts if text.name != name]
    return replace(plan, texts=(*texts, TextFile(name=name, text="{}")))


def test_other_words_in_the_card_don_t_end_a_resume(
    plan: Plan, expected: dict[str, bytes], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    for step in (20, 50):
        assert crash_at(step, lambda: run_plan(plan, output, threads=1))
        run_plan(_reworded(plan, "README.md"), output, mode=OutputMode.RESUME)
        assert tree(output) == expected
        run_plan(_reworded(plan, "README.md"), output, mode=OutputMode.RESUME)
        assert tree(output) == expected
        with pytest.raises(UsageError, match="another plan"):
            run_plan(_reworded(plan, "config.json"), output, mode=OutputMode.RESUME)
        shutil.rmtree(output)
    assert crash_at(50, lambda: run_plan(plan, output, threads=1))
    with pytest.raises(UsageError, match="another plan"):
        run_plan(_reworded(plan, "config.json"), output, mode=OutputMode.RESUME)


def test_a_work_directory_goes_at_once(
    plan: Plan, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        run_plan(plan, output)
    assert (output / MANIFEST_NAME).exists()
    assert not (output / WORK_DIRECTORY).exists()
    assert not (output / NOTICE_NAME).exists()
    assert len(list(output.glob(f"{DONE_PREFIX}*"))) == 1
    assert verify_output(output).ok
    run_plan(plan, output, mode=OutputMode.RESUME)
    assert tree(output) == expected
    (output / f"{DONE_PREFIX}1").mkdir()
    (output / f"{DONE_PREFIX}1" / "lock").touch()
    run_plan(plan, output, mode=OutputMode.OVERWRITE)
    assert tree(output) == expected


def test_a_link_to_nowhere_is_no_output_and_stays(plan: Plan, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.symlink_to(tmp_path / "nowhere")
    for mode in OutputMode:
        with pytest.raises(UsageError, match=r"out: is a link to .*nowhere, which isn't there"):
            run_plan(plan, output, mode=mode)
    assert output.is_symlink()
    assert not (tmp_path / "nowhere").exists()


def test_of_several_files_in_the_way_the_first_is_named_and_the_rest_counted(
    plan: Plan, output: Path
) -> None:
    for number in range(3):
        (output / f"mine-{number}").write_text("precious")
    with pytest.raises(UsageError, match=r"holds mine-0 and 2 more, which distexpand didn't write"):
        run_plan(plan, output, mode=OutputMode.OVERWRITE)


@pytest.mark.parametrize("overwrite", [True, False])
def test_an_output_that_can_t_be_is_refused_before_anything_takes_its_time(
    plan: Plan, output: Path, overwrite: bool
) -> None:
    (output / "mine").write_text("precious")
    with pytest.raises(UsageError, match="holds "):
        require_place(output, plan, overwrite=overwrite)
    for _, location in plan.locations:
        with pytest.raises(UsageError, match="lies in the source"):
            require_place(Path(location) / "out", plan, overwrite=overwrite)
