"""Recording digests replaces the manifest that was verified, and no other."""

from dataclasses import replace
from pathlib import Path

import pytest

from distexpand.api import run_plan
from distexpand.commit.manifest import MANIFEST_NAME, Manifest
from distexpand.commit.recording import record_manifest
from distexpand.errors import OutputError
from distexpand.storage.local.directories import WORK_DIRECTORY
from distexpand.verifying.structure import read_manifest
from tests.api.small import BLOCKS, small_model, small_plan, tree


@pytest.fixture
def output(tmp_path: Path) -> Path:
    run_plan(small_plan(BLOCKS, small_model(tmp_path / "a")), tmp_path / "out")
    return tmp_path / "out"


def _changed(manifest: Manifest) -> Manifest:
    first, *others = manifest.shards
    return replace(manifest, shards=(replace(first, digest="0" * 32), *others))


def test_the_manifest_alone_is_replaced(output: Path) -> None:
    before = tree(output)
    made = read_manifest(output)
    record_manifest(output, made, _changed(made))
    after = tree(output)
    assert read_manifest(output) == _changed(made)
    assert {name for name in after if after[name] != before.get(name)} == {MANIFEST_NAME}
    assert after.keys() == before.keys()


def test_another_manifest_than_the_one_that_was_verified_stays(output: Path) -> None:
    before = tree(output)
    made = read_manifest(output)
    with pytest.raises(OutputError, match="changed while it was read"):
        record_manifest(output, _changed(made), made)
    assert tree(output) == before


def test_nothing_is_recorded_where_a_run_has_begun(output: Path) -> None:
    made = read_manifest(output)
    run = output / WORK_DIRECTORY / "run-000001"
    run.mkdir(parents=True)
    (run / "plan").write_bytes(b"")
    with pytest.raises(OutputError, match="changed while it was read"):
        record_manifest(output, made, _changed(made))
    assert read_manifest(output) == made
