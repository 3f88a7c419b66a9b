"""Real file systems of several kinds, mounted for as long as a session of tests lasts.

What shares blocks, or takes direct I/O, or refuses either, is the kernel's to say: a stand-in
would only repeat what we believe of it. Each kind is mounted when the first test asks for it,
from a sparse image where it needs a disk, and skipped with the reason where it can't be.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

import pytest

HERE = "here"
"""The file system that temporary files are on, whatever it is."""

CLONING = ("xfs", "btrfs")
"""Those whose files can share blocks."""

KINDS = (HERE, "tmpfs", "overlay", *CLONING)

_IMAGE_BYTES = 320 * 2**20
"""The least that mkfs.xfs takes is 300 MiB; what isn't written to takes nothing."""


class FileSystems:
    """A folder on a file system of each kind; as a context it unmounts them all."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._mounted = ExitStack()
        self._known: dict[str, Path | str] = {}

    def __getitem__(self, kind: str) -> Path:
        """Return a folder on that kind of file system, or skip the test that asks."""
        if kind not in self._known:
            self._known[kind] = self._mount(kind)
        found = self._known[kind]
        if isinstance(found, str):
            pytest.skip(found)
        return found

    def _mount(self, kind: str) -> Path | str:
        folder = self._root / kind
        folder.mkdir()
        if kind == HERE:
            return folder
        if os.geteuid() != 0:
            return f"mounting {kind} needs root"
        try:
            if kind in CLONING:
                self._mount_image(kind, folder)
            elif kind == "overlay":
                layers = [self._root / f"overlay-{name}" for name in ("lower", "upper", "work")]
                for layer in layers:
                    layer.mkdir()
                lower, upper, work = layers
                self._mount_options(kind, folder, f"lowerdir={lower},upperdir={upper},workdir={work}")
            else:
                self._mount_options(kind, folder, "size=256m")
        except FileNotFoundError as error:
            return f"{error.filename} isn't installed (apt-get install xfsprogs btrfs-progs)"
        except subprocess.CalledProcessError as error:
            return f"{kind} can't be mounted here: {error.stderr.decode().strip()}"
        return folder

    def _mount_image(self, kind: str, folder: Path) -> None:
        image = self._root / f"{kind}.image"
        self._mounted.callback(image.unlink, missing_ok=True)
        image.touch()
        os.truncate(image, _IMAGE_BYTES)
        _run(f"mkfs.{kind}", "-q", str(image))
        self._mount_options(kind, folder, "loop", device=str(image))

    def _mount_options(self, kind: str, folder: Path, options: str, *, device: str = "none") -> None:
        _run("mount", "-t", kind, "-o", options, device, str(folder))
        self._mounted.callback(_unmount, folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._mounted.close()


@contextmanager
def fresh_folder(root: Path) -> Iterator[Path]:
    """A new folder in another, which goes with everything in it: the file systems are small."""
    folder = Path(tempfile.mkdtemp(dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def shares_blocks(folder: Path) -> bool:
    """Whether files in a folder can share blocks, asked without the package."""
    with fresh_folder(folder) as probes:
        (probes / "one").write_bytes(bytes(1 << 16))
        copy = ["cp", "--reflink=always", str(probes / "one"), str(probes / "other")]
        return subprocess.run(copy, capture_output=True, check=False).returncode == 0


def used_bytes(folder: Path) -> int:
    """Return the bytes that are taken of a file system, once what was written or removed is on its disk.

    Btrfs gives the space of removed files back in the background, so a figure counts when it stays.
    """
    figures = [_used_bytes(folder)]
    while len(figures) < _SAME_FIGURES or len(set(figures[-_SAME_FIGURES:])) > 1:
        time.sleep(_SETTLING_SECONDS)
        figures.append(_used_bytes(folder))
    return figures[-1]


_SAME_FIGURES = 3
_SETTLING_SECONDS = 0.1


def _used_bytes(folder: Path) -> int:
    _run("sync", "--file-system", str(folder))
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def _unmount(folder: Path) -> None:
    try:
        _run("umount", str(folder))
    except subprocess.CalledProcessError:
        # Something still has a file open; the mount goes with it, and so does the loop device.
        with suppress(subprocess.CalledProcessError):
            _run("umount", "--lazy", str(folder))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
