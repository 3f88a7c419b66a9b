"""Block buffers."""

import mmap

import pytest

from distexpand.engine import buffers


class Refusing(mmap.mmap):
    def madvise(self, *_: int) -> None:
        raise OSError(22, "Invalid argument")


def test_a_kernel_without_huge_pages_gives_ordinary_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers.mmap, "mmap", Refusing)
    buffer = buffers.block_buffer(1 << 16)
    assert len(buffer) == 1 << 16
    assert not any(buffer)
