from pathlib import Path

import pytest

from benchmarks.memory_group import _VERSIONS, NoGroupsError, own_group

FIRST, SECOND = _VERSIONS
MIXED = "4:memory:/jobs/one\n3:cpuset:/\n1:name=systemd:/\n0::/user.slice\n"


def test_version_1_goes_by_the_memory_controller():
    assert own_group(MIXED, FIRST) == Path("jobs/one")


def test_version_2_goes_by_the_unnamed_one():
    assert own_group(MIXED, SECOND) == Path("user.slice")


def test_the_topmost_group_is_the_mount_itself():
    assert Path("/sys/fs/cgroup") / own_group("0::/\n", SECOND) == Path("/sys/fs/cgroup")


def test_without_a_memory_controller_there_is_no_group():
    with pytest.raises(NoGroupsError):
        own_group("3:cpuset:/\n", FIRST)
