"""Sources of a run: opened once, checked as they are read, and the same until the last resume."""

import errno
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from distexpand.api import run_plan, verify_output
from distexpand.commit.committer import OutputMode
from distexpand.commit.work_directory import current
from distexpand.engine import torch_library
from distexpand.errors import InterruptedRunError, MissingDependencyError, OutputError, StorageError
from distexpand.planning.model import Plan
from distexpand.storage.local.directories import WORK_DIRECTORY, LocalSource
from distexpand.storage.local.os_errors import storage_error
from distexpand.storage.local.reader import LocalReader
from tests.api.small import COPIES, SCALED, small_model, small_plan, tree
from tests.runner.test_local_runs import StoppingAfterAShard, Watching
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_model(tmp_path / "a")


def _interrupt(plan: Plan, output: Path) -> None:
    stop = threading.Event()
    with pytest.raises(InterruptedRunError):
        run_plan(plan, output, stop=stop, progress=StoppingAfterAShard(stop))
    assert any(output.glob("*.safetensors"))


def _change_weights(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))


def test_other_weights_under_the_same_header_end_a_resume(tmp_path: Path, model: Path) -> None:
    plan, output = small_plan(COPIES, model), tmp_path / "out"
    _interrupt(plan, output)
    before = tree(output)
    shard = max(model.glob("*.safetensors"))
    _change_weights(shard)
    with pytest.raises(OutputError, match="changed since the run was begun") as caught:
        run_plan(plan, output, mode=OutputMode.RESUME)
    assert shard.name in caught.value.message
    assert "--overwrite" in caught.value.hint
    kept = {name: raw for name, raw in tree(output).items() if not name.startswith(WORK_DIRECTORY)}
    assert kept.items() <= before.items()
    run_plan(plan, output, mode=OutputMode.OVERWRITE)
    assert verify_output(output, sources=True, places={"a": str(model)}).ok


def test_a_source_that_was_moved_or_linked_is_the_same(tmp_path: Path, model: Path) -> None:
    output = tmp_path / "out"
    _interrupt(small_plan(COPIES, model), output)
    moved = model.rename(tmp_path / "elsewhere")
    linked = tmp_path / "linked" / "a"
    linked.mkdir(parents=True)
    for path in moved.iterdir():
        if path.is_file():
            (linked / path.name).symlink_to(path)
    shutil.copytree(moved / "additional_chat_templates", linked / "additional_chat_templates")
    run_plan(small_plan(COPIES, linked), output, mode=OutputMode.RESUME)
    run_plan(small_plan(COPIES, linked), tmp_path / "expected")
    assert tree(output) == tree(tmp_path / "expected")


def test_what_is_checked_is_what_is_read(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, real, opened = small_plan(COPIES, model), LocalSource.open, Counter[str]()

    def opening(store: LocalSource, path: str) -> LocalReader:
        opened[path] += 1
        return real(store, path)

    monkeypatch.setattr(LocalSource, "open", opening)
    run_plan(plan, tmp_path / "out")
    assert opened == Counter(source.path for source in plan.sources)


def test_many_source_files_raise_the_limit_of_open_files(tmp_path: Path) -> None:
    model = write_checkpoint(
        tmp_path / "a",
        family("llama2-7b", num_layers=64, hidden_size=16, intermediate_size=24, vocab_size=40),
        fill="random",
        seed=1,
        shard_size=100,
    )
    few, (_, most) = 64, resource.getrlimit(resource.RLIMIT_NOFILE)
    assert len(list(model.glob("*.safetensors"))) > few
    # In a process of its own: how many files this one has open is up to the tests before.
    subprocess.run(
        [sys.executable, "-m", "distexpand", "run", "-", tmp_path / "out", "--model", f"a={model}"],
        input=b"{model: a, layer_map: [[0, 64]]}",
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (few, most)),
    )
    assert verify_output(tmp_path / "out").ok


def test_too_many_open_files_says_what_to_do() -> None:
    error = storage_error("open", "x", OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
    assert "ulimit -n" in error.hint


def test_a_failure_leaves_the_caller_s_event_alone_and_no_attempt(tmp_path: Path, model: Path) -> None:
    plan, stop = small_plan(COPIES, model, shard_size=10**9), threading.Event()
    shard = min(model.glob("*.safetensors"))
    with pytest.raises(StorageError, match="changed while it was read"):
        run_plan(
            plan, tmp_path / "out", stop=stop, progress=Watching(lambda: _change_weights(shard), after=1000)
        )
    assert not stop.is_set()
    assert not list(current(tmp_path / "out").attempts.iterdir())


def test_without_torch_nothing_is_begun_or_removed(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    run_plan(small_plan(COPIES, model), output)
    before = tree(output)
    plan = small_plan(SCALED, model)
    monkeypatch.setitem(sys.modules, "torch", None)
    torch_library.require_torch.cache_clear()
    for place, mode in [(output, OutputMode.OVERWRITE), (tmp_path / "new", OutputMode.FRESH)]:
        with pytest.raises(MissingDependencyError, match="needs torch"):
            run_plan(plan, place, mode=mode)
    assert tree(output) == before
    assert not (tmp_path / "new").exists()


def test_what_a_run_syncs(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    templates = Path("additional_chat_templates")
    (model / templates / "deep.jinja").write_text("{{ tools }}")
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    output = tmp_path / "deep" / "er" / "out"
    run_plan(small_plan(COPIES, model), output)
    [journal] = {path for path in synced if path.endswith("/journal.jsonl")}
    work = Path(journal).parent
    assert work.parent == output / WORK_DIRECTORY
    for folder in (
        output,
        output.parent,
        tmp_path / "deep",
        tmp_path,
        output / templates,
    ):
        assert str(folder) in synced
    first = synced.index(str(work / "journal.jsonl"))
    assert str(work) in synced[first:]
