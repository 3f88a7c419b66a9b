"""Which file system a path is on, read from mount tables as the kernel writes them."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.storage.local import file_systems as under_test
from distexpand.storage.local.file_systems import file_system_of, usual_way
from distexpand.storage.local.way import Way
from tests.support.mounts import HERE, KINDS, FileSystems

ESCAPED = {" ": "\\040", "\t": "\\011", "\n": "\\012", "\\": "\\134", "#": "\\043"}
"""What the kernel escapes in a mount point (mangle_path in fs/proc_namespace.c), and how."""


def table(mounts: Iterable[tuple[str, str]], *, optional: str = "shared:1 ") -> bytes:
    lines = []
    for number, (point, kind) in enumerate(mounts):
        escaped = "".join(ESCAPED.get(character, character) for character in point)
        lines.append(f"{number + 30} 1 8:{number} / {escaped} rw,relatime {optional}- {kind} /dev/x rw\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that puts another mount table in place of the kernel's."""
    path = tmp_path / "mountinfo"
    monkeypatch.setattr(under_test, "_MOUNTS", path)
    return lambda *found, **options: path.write_bytes(table(found, **options))


@pytest.mark.parametrize("optional", ["", "shared:1 ", "shared:1 master:2 propagate_from:3 "])
def test_the_innermost_mount_counts(mounts, optional: str) -> None:
    mounts(("/", "ext4"), ("/a/b", "xfs"), ("/a", "nfs4"), ("/a/bc", "btrfs"), optional=optional)
    found = {
        path: file_system_of(Path(path)) for path in ("/", "/x", "/a", "/a/x", "/a/b", "/a/b/c/d", "/a/bc/d")
    }
    assert list(found.values()) == ["ext4", "ext4", "nfs4", "nfs4", "xfs", "xfs", "btrfs"]


def test_of_two_mounts_on_one_place_the_later_is_seen(mounts) -> None:
    mounts(("/", "rootfs"), ("/", "overlay"), ("/a", "tmpfs"), ("/a", "xfs"))
    assert (file_system_of(Path("/x")), file_system_of(Path("/a/x"))) == ("overlay", "xfs")


@pytest.mark.parametrize(
    "name",
    ["with spaces in it", "tab\tand\nline", "back\\slash", "hash#", "back\\040slash", "a-b", "-"],
)
def test_names_are_escaped_in_the_table(mounts, name: str) -> None:
    mounts(("/", "ext4"), (f"/mnt/{name}", "xfs"), ("/mnt/w", "tmpfs"))
    assert file_system_of(Path("/mnt") / name / "out") == "xfs"
    assert file_system_of(Path("/mnt/other")) == "ext4"


@pytest.mark.parametrize("name", ["späť", "模型", os.fsdecode(b"caf\xe9")], ids=["latin", "han", "no utf-8"])
def test_names_in_any_letters(mounts, name: str) -> None:
    mounts(("/", "ext4"), (f"/mnt/{name}", "xfs"))
    assert file_system_of(Path("/mnt") / name / "out") == "xfs"
    assert file_system_of(Path("/mnt/other")) == "ext4"


names = st.text(
    st.characters(codec="ascii", min_codepoint=1, exclude_characters="/"), min_size=1, max_size=6
).filter(lambda name: name not in {".", ".."})


@given(st.lists(names, min_size=1, max_size=4), st.data())
@settings(deadline=None)
def test_a_mount_is_found_by_every_path_in_it(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], data: st.DataObject
) -> None:
    point = "/" + "/".join(parts[: data.draw(st.integers(0, len(parts)))])
    path = tmp_path_factory.getbasetemp() / "mountinfo"
    path.write_bytes(table([("/", "ext4"), (point, "xfs")]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(under_test, "_MOUNTS", path)
        assert file_system_of(Path("/", *parts)) == "xfs"


def test_links_are_followed_and_what_is_not_there_yet_is_where_it_would_be(mounts, tmp_path: Path) -> None:
    mounts(("/", "ext4"), (str(tmp_path / "disk"), "xfs"))
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    assert file_system_of(tmp_path / "link" / "not" / "yet") == "xfs"
    assert file_system_of(tmp_path / "disk" / ".." / "beside") == "ext4"


def test_without_a_table_nothing_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(under_test, "_MOUNTS", tmp_path / "missing")
    assert file_system_of(tmp_path) == ""
    (tmp_path / "missing").mkdir()
    assert file_system_of(tmp_path) == ""
    assert usual_way("") is Way.BUFFERED


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != HERE])
def test_real_mounts_are_known(kind: str, file_systems: FileSystems) -> None:
    folder = file_systems[kind]
    assert file_system_of(folder) == file_system_of(folder / "not" / "yet") == kind
    assert usual_way(kind) is (Way.DIRECT if kind in {"xfs", "btrfs"} else Way.BUFFERED)


def test_a_folder_that_is_mounted_elsewhere_too(tmp_path: Path, file_systems: FileSystems) -> None:
    inner = file_systems["xfs"] / "folder with spaces"
    inner.mkdir(exist_ok=True)
    bound = tmp_path / "bound to it"
    bound.mkdir()
    subprocess.run(["mount", "--bind", inner, bound], check=True)
    try:
        assert file_system_of(bound / "out") == "xfs"
        assert file_system_of(tmp_path) != "xfs"
    finally:
        subprocess.run(["umount", bound], check=True)
