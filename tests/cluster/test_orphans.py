"""Attempts given up are removed late, and whatever else lies there stays."""

from pathlib import Path

from distexpand.cluster.orphans import GRACE_SECONDS, Orphans


def test_an_orphan_goes_when_its_time_is_over(tmp_path: Path) -> None:
    now = 0.0
    orphans = Orphans(tmp_path, clock=lambda: now)
    for name in ("first", "second", "alive"):
        (tmp_path / name).write_text(name)
    orphans.add("first")
    now = GRACE_SECONDS / 2
    orphans.add("second")
    orphans.add("first")  # once more: its time counts from when it was given up
    assert orphans.collect() == []
    now = GRACE_SECONDS + 1
    assert orphans.collect() == ["first"]
    assert {path.name for path in tmp_path.iterdir()} == {"second", "alive"}
    now = 2 * GRACE_SECONDS + 1
    assert orphans.collect() == ["second"]
    assert orphans.collect() == []
    assert [path.name for path in tmp_path.iterdir()] == ["alive"]


def test_one_that_was_never_begun_or_whose_folder_was_taken_over_does_no_harm(tmp_path: Path) -> None:
    now = 0.0
    orphans = Orphans(tmp_path / "gone", clock=lambda: now)
    orphans.add("never begun")
    now = GRACE_SECONDS + 1
    assert orphans.collect() == ["never begun"]
