"""Invariants 2 to 4: final names for whole files only, one committer, the same bytes after any crash."""

import json
import os
import shutil
from pathlib import Path

import pytest

from distexpand.api import run_plan, verify_output
from distexpand.commit.committer import Committer, OutputMode
from distexpand.commit.manifest import MANIFEST_NAME, decode_manifest, encode_manifest
from distexpand.commit.work_directory import NOTICE_NAME, current
from distexpand.engine.receipt import Receipt
from distexpand.errors import CheckpointError, OutputError, UsageError
from distexpand.planning.model import Plan
from distexpand.storage.local.directories import WORK_DIRECTORY
from tests.api.small import BLOCKS, identities, small_plan, tree
from tests.commit.crashes import crash_at


def _crash(plan: Plan, output: Path, step: int, mode: OutputMode, *, after: bool) -> bool:
    """Run until the crash and say whether there was one."""
    return crash_at(step, lambda: run_plan(plan, output, mode=mode, threads=1), after=after)


def _assert_no_partial_file(output: Path, expected: dict[str, bytes]) -> None:
    found = tree(output) if output.exists() else {}
    for name, raw in found.items():
        if not name.startswith(WORK_DIRECTORY) and name != NOTICE_NAME:
            assert raw == expected[name], name
    if MANIFEST_NAME in found:
        assert expected.keys() <= found.keys()
        assert NOTICE_NAME not in found
    elif any(name.endswith(".safetensors") for name in found if not name.startswith(WORK_DIRECTORY)):
        assert current(output).plan.relative_to(output).as_posix() in found
        assert NOTICE_NAME in found or "config.json" in found


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_every_step_is_resumed_to_the_same_bytes(
    plan: Plan, expected: dict[str, bytes], tmp_path: Path, after: bool
) -> None:
    step = 1
    while True:
        output = tmp_path / "out"
        crashed = _crash(plan, output, step, OutputMode.FRESH, after=after)
        if not crashed:
            break
        _assert_no_partial_file(output, expected)
        done = identities(output)
        run_plan(plan, output, mode=OutputMode.RESUME, threads=2)
        assert tree(output) == expected, step
        assert {name: identities(output)[name] for name in done} == done, step
        shutil.rmtree(output)
        step += 1
    assert step > 50


def test_a_crash_while_resuming_is_resumed(plan: Plan, expected: dict[str, bytes], tmp_path: Path) -> None:
    output = tmp_path / "out"
    for first, second in [(30, 5), (30, 12), (45, 3), (45, 20), (60, 8)]:
        assert _crash(plan, output, first, OutputMode.FRESH, after=True)
        _crash(plan, output, second, OutputMode.RESUME, after=False)
        _assert_no_partial_file(output, expected)
        run_plan(plan, output, mode=OutputMode.RESUME)
        assert tree(output) == expected
        shutil.rmtree(output)


def test_an_interrupted_overwrite_is_resumed(
    model: Path, plan: Plan, expected: dict[str, bytes], tmp_path: Path
) -> None:
    earlier = small_plan(BLOCKS, model, shard_size=3000)
    output = tmp_path / "out"
    step = 1
    while True:
        run_plan(earlier, output)
        before = tree(output)
        if not _crash(plan, output, step, OutputMode.OVERWRITE, after=True):
            break
        begun = current(output).exists()
        if begun or (output / MANIFEST_NAME).read_bytes() == expected[MANIFEST_NAME]:
            run_plan(plan, output, mode=OutputMode.RESUME)
        else:
            found = tree(output)
            assert {name: found[name] for name in before} == before
            run_plan(plan, output, mode=OutputMode.OVERWRITE)
        assert tree(output) == expected, step
        shutil.rmtree(output)
        step += 1
    assert step > 40
    assert tree(output) == expected


def test_overwriting_an_unfinished_run(
    model: Path, plan: Plan, expected: dict[str, bytes], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    assert _crash(small_plan(BLOCKS, model, shard_size=3000), output, 60, OutputMode.FRESH, after=True)
    assert any(output.glob("*.safetensors"))
    with pytest.raises(UsageError, match="begun with another plan"):
        run_plan(plan, output, mode=OutputMode.RESUME)
    with pytest.raises(UsageError, match="isn't empty") as caught:
        run_plan(plan, output)
    assert "--resume" in caught.value.hint
    run_plan(plan, output, mode=OutputMode.OVERWRITE)
    assert tree(output) == expected


def test_overwrite_never_deletes_what_it_didn_t_write(plan: Plan, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run_plan(plan, output)
    foreign = output / "notes" / "mine.txt"
    foreign.parent.mkdir()
    foreign.write_text("precious")
    before = tree(output)
    with pytest.raises(UsageError, match=r"holds notes/mine\.txt, which distexpand didn't write"):
        run_plan(plan, output, mode=OutputMode.OVERWRITE)
    assert tree(output) == before
    elsewhere = tmp_path / "foreign"
    elsewhere.mkdir()
    (elsewhere / "x").write_text("precious")
    for mode in OutputMode:
        with pytest.raises(UsageError):
            run_plan(plan, elsewhere, mode=mode)
    assert tree(elsewhere) == {"x": b"precious"}


def test_a_manifest_that_names_files_elsewhere_deletes_nothing(plan: Plan, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run_plan(plan, output)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = output / MANIFEST_NAME
    document = json.loads(path.read_bytes())
    document["files"]["../victim"] = "0" * 64
    path.write_text(json.dumps(document))
    for mode in (OutputMode.OVERWRITE, OutputMode.RESUME):
        with pytest.raises((UsageError, CheckpointError)):
            run_plan(plan, output, mode=mode)
    assert victim.read_text() == "precious"


def test_a_list_of_obsolete_files_elsewhere_deletes_nothing(plan: Plan, tmp_path: Path) -> None:
    output, victim = tmp_path / "out", tmp_path / "victim"
    victim.write_text("precious")
    assert _crash(plan, output, 40, OutputMode.FRESH, after=True)
    for names in ('["../victim"]', '["/etc/hostname"]', "{}", "[1]", "["):
        current(output).obsolete.write_text(names)
        for mode in (OutputMode.RESUME, OutputMode.OVERWRITE):
            with pytest.raises(UsageError):
                run_plan(plan, output, mode=mode)
    assert victim.read_text() == "precious"


def test_two_committers_exclude_each_other(plan: Plan, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with Committer(output, plan, OutputMode.FRESH):
        for mode in (OutputMode.RESUME, OutputMode.OVERWRITE):
            with pytest.raises(OutputError, match="another run is writing"):
                Committer(output, plan, mode)
        with pytest.raises(UsageError):
            Committer(output, plan, OutputMode.FRESH)
    Committer(output, plan, OutputMode.RESUME).close()


def test_finished_and_resumed_changes_nothing(plan: Plan, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run_plan(plan, output)
    before = {path: path.stat() for path in output.rglob("*")}
    run_plan(plan, output, mode=OutputMode.RESUME)
    assert {path: path.stat() for path in output.rglob("*")} == before


def test_fresh_refuses_whatever_is_there(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="isn't empty"):
        run_plan(plan, tmp_path.parent)
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(UsageError, match="is a file, not a directory"):
        run_plan(plan, file)
    (tmp_path / "empty").mkdir()
    run_plan(plan, tmp_path / "empty")
    with pytest.raises(UsageError, match="isn't empty") as caught:
        run_plan(plan, tmp_path / "empty")
    assert "--overwrite" in caught.value.hint


def test_a_receipt_of_another_file_is_refused(plan: Plan, tmp_path: Path) -> None:
    with Committer(tmp_path / "out", plan, OutputMode.FRESH) as committer:
        attempt = committer.attempts / "x"
        attempt.write_bytes(b"short")
        for name, size in (("x", 6), ("gone", 5)):
            receipt = Receipt(
                shard=plan.shards[0].name, attempt=name, size=size, digest="", tensors=(), seconds=0
            )
            with pytest.raises(OutputError, match="isn't the file"):
                committer.commit(receipt)
        with pytest.raises(OutputError, match="shards are missing"):
            committer.publish({})
    assert not list((tmp_path / "out").glob("*.safetensors"))
    assert not (tmp_path / "out" / MANIFEST_NAME).exists()


def test_the_manifest_says_what_is_there_and_nothing_of_here(
    plan: Plan, expected: dict[str, bytes], tmp_path: Path
) -> None:
    raw = expected[MANIFEST_NAME]
    manifest = decode_manifest(raw, origin="m")
    assert encode_manifest(manifest) == raw
    assert {*manifest.file_names, MANIFEST_NAME} == expected.keys()
    assert [(shard.name, shard.size) for shard in manifest.shards] == [(s.name, s.size) for s in plan.shards]
    for word in (str(tmp_path.parent).encode(), b"/tmp", os.uname().nodename.encode() + b'"', b"seconds"):
        assert word not in raw
    assert NOTICE_NAME not in expected
    assert not any(name.startswith(WORK_DIRECTORY) for name in expected)


@pytest.mark.parametrize("place", range(0, 3000, 97))
def test_no_byte_of_a_manifest_changes_unnoticed(expected: dict[str, bytes], place: int) -> None:
    raw = bytearray(expected[MANIFEST_NAME])
    raw[place % len(raw)] ^= 1
    with pytest.raises(CheckpointError):
        decode_manifest(bytes(raw), origin="m")


def test_an_output_s_folders_are_made_and_verified(plan: Plan, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "er"
    run_plan(plan, output)
    assert (output / "additional_chat_templates" / "tools.jinja").read_text() == "{{ tools }}\n"
    assert verify_output(output).ok
