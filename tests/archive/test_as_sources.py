"""An expansion of an archive is the expansion of what was packed."""

import threading
from contextlib import ExitStack

import pytest

from distexpand.api import run_plan
from distexpand.commit.committer import Committer, OutputMode
from distexpand.formats.archive_index import Form
from distexpand.intake.checkpoint import read_checkpoint
from distexpand.intake.pins import read_whole
from distexpand.recipe.canonical import ModelRef
from distexpand.report.watching.display import NoProgress
from distexpand.runner.local import run_local
from distexpand.runner.sources import check_sources, read_side_files
from distexpand.storage.archives.source import ArchiveSource
from distexpand.storage.local.directories import LocalOutput, LocalSource
from tests.api.small import BLOCKS, SCALED, small_model, small_plan, tree
from tests.support.archives import packed, small_frames, written
from tests.support.tiny import tiny_checkpoint, to_bin


@pytest.fixture(autouse=True)
def small():
    with small_frames():
        yield


@pytest.mark.parametrize("form", Form)
def test_a_checkpoint_is_read_as_it_was(tmp_path, form):
    model = small_model(tmp_path / "a")
    packed(model, tmp_path / "archive", form)
    found, expected = (
        read_checkpoint(ModelRef(name="a"), store)
        for store in (ArchiveSource(LocalSource(tmp_path / "archive")), LocalSource(model))
    )
    assert found.catalog == expected.catalog
    assert found.side_files == expected.side_files
    assert found.config == expected.config


@pytest.mark.parametrize("form", Form)
def test_pickled_checkpoints_are_read_as_they_were(tmp_path, form):
    model = to_bin(tiny_checkpoint(tmp_path / "tiny", "llama"), tmp_path / "a")
    packed(model, tmp_path / "archive", form)
    found, expected = (
        read_checkpoint(ModelRef(name="a"), store).catalog
        for store in (ArchiveSource(LocalSource(tmp_path / "archive")), LocalSource(model))
    )
    assert found == expected


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("recipe", [BLOCKS, SCALED])
def test_what_is_made_of_an_archive_is_what_is_made_of_its_files(tmp_path, form, recipe):
    model = small_model(tmp_path / "a")
    packed(model, tmp_path / "archive", form)
    plan = small_plan(recipe, model)
    run_plan(plan, tmp_path / "expected")
    source = ArchiveSource(LocalSource(tmp_path / "archive"))
    with ExitStack() as stack:
        readers = [source.open(file.path) for file in plan.sources]
        for reader in readers:
            stack.callback(reader.close)
        check_sources(plan, readers)
        with Committer(tmp_path / "out", plan, OutputMode.FRESH) as committer:
            run_local(
                committer,
                readers,
                output=lambda _: LocalOutput(committer.attempts),
                threads=3,
                stop=threading.Event(),
                progress=NoProgress(),
            )
            committer.publish(read_side_files(plan, readers))
    assert tree(tmp_path / "out") == tree(tmp_path / "expected")


def test_an_archive_of_an_archive_s_source_is_the_archive(tmp_path):
    """A store is a store: what is packed may be an archive that is unpacked on the way."""
    model = written(tmp_path / "a", {"x.safetensors": b"12345" * 999, "y": b"y"})
    packed(model, tmp_path / "archive", Form.DENSE)
    source = ArchiveSource(LocalSource(tmp_path / "archive"))
    assert {name: read_whole(source, name) for name in source.files()} == tree(model)
