"""A directory appears whole or not at all, however its making ends, and can be made again."""

import threading
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from distexpand.archive.staging import StagedDirectory
from distexpand.errors import InterruptedRunError, OutputTakenError, StorageError, UsageError
from distexpand.formats.archive_index import ARCHIVE_NAME, Form
from distexpand.report.watching.display import NoProgress
from distexpand.storage.local.directories import WORK_DIRECTORY
from tests.api.small import tree
from tests.commit.crashes import crash_at
from tests.storage.contract import noise
from tests.support.archives import packed, small_frames, unpacked, written

FILES = {"config.json": b"{}", "model.safetensors": noise(2500), "folder/deep/x": b"x" * 300}

TWO = {name: FILES[name] for name in ("config.json", "model.safetensors")}


def make(target: Path, files=None) -> None:
    files = FILES if files is None else files
    with StagedDirectory(target) as staged:
        for number, raw in enumerate(files.values()):
            (staged.folder / str(number)).write_bytes(raw)
        staged.publish([(str(number), name) for number, name in enumerate(files)])


@pytest.mark.parametrize("before", ["nothing", "an empty directory"])
def test_files_get_their_names_and_nothing_else_stays(tmp_path, before):
    if before != "nothing":
        (tmp_path / "out").mkdir()
    make(tmp_path / "out")
    assert tree(tmp_path / "out") == FILES


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_anywhere_leaves_nothing_that_looks_whole_and_all_can_begin_again(tmp_path, after):
    step = 0
    while True:
        step += 1
        target = tmp_path / str(step)
        crashed = crash_at(step, lambda target=target: make(target), after=after)
        if not crashed:
            break
        left = tree(target) if target.exists() else {}
        final = {name: raw for name, raw in left.items() if not name.startswith(WORK_DIRECTORY)}
        assert set(final) <= {*FILES, "UNFINISHED.txt"}
        if final == FILES:
            continue
        assert not final or "UNFINISHED.txt" in final
        make(target, {"other": b"1", **FILES})
        assert tree(target) == {"other": b"1", **FILES}
    assert step > 20


def crashing(folder, work, again, *, complete):
    """Let some work crash at its every step, and begin again with what it left unless that is whole."""
    for after in (False, True):
        for step in count(1):
            left = folder / f"{step}-{after}"
            if not crash_at(step, partial(work, left), after=after):
                break
            if not (left / complete).exists() or (left / "UNFINISHED.txt").exists():
                again(left)
        assert step > 20


@pytest.mark.parametrize("form", Form)
def test_a_crash_of_pack_leaves_no_archive_and_pack_begins_again(tmp_path, form):
    source = written(tmp_path / "model", TWO)
    with small_frames():
        packed(source, tmp_path / "whole", form)
        whole = tree(tmp_path / "whole")

        def work(target):
            packed(source, target, form, threads=1)
            assert tree(target) == whole

        crashing(tmp_path, work, work, complete=ARCHIVE_NAME)


def test_a_crash_of_unpack_leaves_no_checkpoint_and_unpack_begins_again(tmp_path):
    with small_frames():
        packed(written(tmp_path / "model", TWO), tmp_path / "archive")

        def work(target):
            unpacked(tmp_path / "archive", target, threads=1)
            assert tree(target) == TWO

        crashing(tmp_path, work, work, complete="config.json")


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(StorageError), StagedDirectory(tmp_path / "out"):
        raise StorageError("x", hint="go on with --resume")
    assert not (tmp_path / "out").exists()


def test_a_failure_leaves_an_empty_directory_that_was_there(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(StorageError), StagedDirectory(tmp_path / "out"):
        raise StorageError("x")
    assert tree(tmp_path) == {}
    assert (tmp_path / "out").exists()


def test_what_fails_while_files_are_named_is_taken_back(tmp_path):
    with pytest.raises(StorageError, match="can't rename"):
        make(tmp_path / "out", {"x": b"a file", "x/y": b"a file in it"})
    assert not (tmp_path / "out").exists()


def test_resuming_is_not_advised(tmp_path):
    with pytest.raises(StorageError) as raised, StagedDirectory(tmp_path / "out"):
        raise StorageError("x", hint="Free some space; finished shards are kept, go on with --resume.")
    assert "resume" not in raised.value.hint


@pytest.mark.parametrize("name", ["config.json", "folder/x", ".hidden"])
def test_a_directory_that_holds_something_is_refused(tmp_path, name):
    written(tmp_path / "out", {name: b"mine"})
    with pytest.raises(UsageError, match="isn't empty"):
        make(tmp_path / "out")
    assert tree(tmp_path / "out") == {name: b"mine"}


def test_a_file_in_the_directory_s_place_is_refused(tmp_path):
    (tmp_path / "out").write_bytes(b"mine")
    with pytest.raises(UsageError, match="is a file"):
        make(tmp_path / "out")


def interrupted_publication(target: Path) -> None:
    """Crash as the second file gets its name."""
    step = 0
    while not {"config.json", "model.safetensors"} <= set(tree(target) if target.exists() else {}):
        step += 1
        if target.exists():
            make_again = StagedDirectory(target)
            make_again.__exit__(None, None, None)
        assert crash_at(step, lambda: make(target))


def test_a_file_that_was_changed_since_is_kept(tmp_path):
    target = tmp_path / "out"
    interrupted_publication(target)
    (target / "config.json").write_bytes(b"mine")
    with pytest.raises(UsageError, match="was changed since"):
        make(target)
    assert (target / "config.json").read_bytes() == b"mine"


def test_a_file_that_came_since_is_kept(tmp_path):
    target = tmp_path / "out"
    interrupted_publication(target)
    (target / "new").write_bytes(b"mine")
    with pytest.raises(UsageError, match="holds new"):
        make(target)
    assert (target / "new").read_bytes() == b"mine"


def test_two_do_not_make_the_same_directory(tmp_path):
    with StagedDirectory(tmp_path / "out"), pytest.raises(OutputTakenError):
        make(tmp_path / "out")


def test_a_stop_leaves_nothing(tmp_path):
    source = written(tmp_path / "model", {"model.safetensors": noise(100_000)})
    stop = threading.Event()

    class Stopping(NoProgress):
        def advance(self, nbytes: int) -> None:
            del nbytes
            stop.set()

    with small_frames():
        packed(source, tmp_path / "archive")
        for work, argument in ((packed, source), (unpacked, tmp_path / "archive")):
            stop.clear()
            with pytest.raises(InterruptedRunError):
                work(argument, tmp_path / "out", stop=stop, progress=Stopping())
            assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["UNFINISHED.txt", f"{WORK_DIRECTORY}/lock"])
def test_an_archive_of_our_own_work_files_is_refused(tmp_path, name, monkeypatch):
    with small_frames(), monkeypatch.context() as patch:
        patch.setattr("distexpand.archive.pack.NOTICE_NAME", "")
        patch.setattr("distexpand.archive.tree.WORK_DIRECTORY", "none")
        packed(written(tmp_path / "model", {name: b"x"}), tmp_path / "archive")
    with pytest.raises(Exception, match="isn't a checkpoint's"):
        unpacked(tmp_path / "archive", tmp_path / "out")
