"""The mounted file systems are what they are called, and nothing of them stays."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.mounts import CLONING, HERE, KINDS, FileSystems, fresh_folder, shares_blocks, used_bytes


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != HERE])
def test_a_folder_is_on_the_kind_of_file_system_that_was_asked_for(
    kind: str, file_systems: FileSystems
) -> None:
    folder = file_systems[kind]
    found = subprocess.run(
        ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(folder)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout.split() == [kind]
    assert file_systems[kind] == folder


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != HERE])
def test_blocks_can_be_shared_where_they_are_said_to_be(kind: str, file_systems: FileSystems) -> None:
    assert shares_blocks(file_systems[kind]) is (kind in CLONING)


@pytest.mark.parametrize("kind", CLONING)
def test_nothing_stays_mounted(kind: str, tmp_path: Path) -> None:
    with FileSystems(tmp_path) as mounted:
        (mounted[kind] / "file").write_text("x")
        device = mounted[kind].stat().st_dev
        assert device != tmp_path.stat().st_dev
    assert list((tmp_path / kind).iterdir()) == []
    assert not (tmp_path / f"{kind}.image").exists()
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_a_kind_that_can_not_be_mounted_skips_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FileSystems(tmp_path) as mounted:
        monkeypatch.setenv("PATH", "")
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        for _ in range(2):
            with pytest.raises(pytest.skip.Exception, match="isn't installed"):
                mounted["xfs"]
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(pytest.skip.Exception, match="needs root"):
            mounted["btrfs"]


def test_used_bytes_are_those_on_the_disk(cloning_place: Path) -> None:
    before = used_bytes(cloning_place)
    with fresh_folder(cloning_place) as folder:
        (folder / "file").write_bytes(os.urandom(2**20))
        assert 2**20 <= used_bytes(cloning_place) - before < 2**21
