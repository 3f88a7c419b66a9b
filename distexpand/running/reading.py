"""Tensors of a checkpoint as torch holds them: mapped where they lie, or made as a run would make them.

What is a copy of a range of a local file is that range, mapped: it takes no
memory but pages that the system can drop at any time, and two tensors made of
the same range share them. Pages are private, so that whatever a model does to
its weights never reaches a file. Everything else is made in memory by the
engine's own code. Rejected: safetensors' reader, which has one mapping for a
whole file, and keeps what was once touched in it as long as any tensor lives.
"""

import mmap
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from distexpand.engine.blocks import Block, Piece, slice_operation
from distexpand.engine.fill import Workspace, fill_block
from distexpand.engine.torch_library import require_torch
from distexpand.planning.digest_layout import PIECE_BYTES
from distexpand.planning.operations import Copy, Operation
from distexpand.proof.keys import TORCH_NAMES
from distexpand.running.weights import Made, Weights
from distexpand.storage.local.directories import LocalSource
from distexpand.storage.local.os_errors import storage_error
from distexpand.storage.opening import open_stores
from distexpand.storage.ranges import RangeReader, SourceStore

_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
"""Newer Pythons name it."""

_SUMMED_AS_STORED = 4
"""Bytes of elements that are added up as they lie there, by instructions that take several of them."""

_ALIGNED = 64
"""What a fresh tensor's address is a multiple of.

From another one such sums begin with a few elements by themselves, and come out otherwise in the last
bit; but what is the same has to say the same, wherever in a file it lies.
"""


class TensorReader:
    """Reads the tensors of a checkpoint; as a context, closes its files. Tensors stay what they are.

    Args:
        weights: what the tensors are made of.
        whole_files: map each file once and for all, for a model that is kept; else every tensor's
            range by itself, so that nothing stays of a tensor that is gone.
    """

    def __init__(self, weights: Weights, *, whole_files: bool = False) -> None:
        self._weights = weights
        self._whole_files = whole_files
        self._mappings: dict[int, mmap.mmap] = {}
        self._closing = ExitStack()
        self._stores: dict[str, SourceStore] = open_stores(location for location, _ in weights.files)
        self._readers: dict[int, RangeReader] = {}
        self._workspace: Workspace | None = None

    def tensor(self, made: Made) -> Any:
        """Return a tensor, mapped or made.

        Raises:
            StorageError: a source can't be read.
            MissingDependencyError: torch isn't installed.
        """
        torch = require_torch()
        dtype = getattr(torch, TORCH_NAMES.get(made.dtype.value, "uint8"))
        size = made.dtype.bits // 8 or 1
        mapped = self._mapping(made, size)
        if mapped is None:
            return self._computed(made).view(dtype).reshape(made.shape)
        mapping, offset = mapped
        flat = torch.frombuffer(mapping, dtype=dtype, count=made.length // size, offset=offset)
        if size >= _SUMMED_AS_STORED and offset % _ALIGNED:
            flat = flat.clone()
        return flat.reshape(made.shape)

    def _mapping(self, made: Made, size: int) -> tuple[mmap.mmap, int] | None:
        """Map the range that a tensor is a copy of, if it is one and lies as a processor wants it."""
        match made.operations:
            case (Copy() as copy,) if copy.source_offset % size == 0:
                location, path = self._weights.files[copy.source]
                if isinstance(self._stores[location], LocalSource):
                    return self._mapped(copy, Path(location) / path)
        return None

    def _mapped(self, copy: Copy, path: Path) -> tuple[mmap.mmap, int]:
        if not self._whole_files:
            begin = copy.source_offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
            end = copy.source_offset + copy.length
            return _map(path, begin, end - begin), copy.source_offset - begin
        if copy.source not in self._mappings:
            self._mappings[copy.source] = _map(path, 0, self[copy.source].size)
        return self._mappings[copy.source], copy.source_offset

    def _computed(self, made: Made) -> Any:
        """Make a tensor's bytes as a run does, block by block; what is zero stays untouched memory."""
        torch = require_torch()
        held = torch.zeros(made.length, dtype=torch.uint8)
        target = memoryview(held.numpy()) if made.length else memoryview(b"")
        self._workspace = self._workspace or Workspace()
        for operation in made.operations:
            end = operation.offset + operation.length
            for offset in range(operation.offset, end, PIECE_BYTES):
                step = slice_operation(operation, offset, min(PIECE_BYTES, end - offset))
                for run in fill_block(_block(step), self, self._workspace):
                    part = self._workspace.buffer[run.start : run.start + run.length]
                    target[offset + run.start : offset + run.start + run.length] = part
        return held

    def __getitem__(self, number: int, /) -> RangeReader:
        """Return an open source file, as the engine asks for it."""
        if number not in self._readers:
            location, path = self._weights.files[number]
            self._readers[number] = self._stores[location].open(path)
            self._closing.callback(self._readers[number].close)
        return self._readers[number]

    def close(self) -> None:
        """Close the source files; tensors that were read stay."""
        self._closing.close()
        self._readers.clear()
        self._mappings.clear()
        self._workspace = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _block(step: Operation) -> Block:
    piece = Piece(tensor=0, number=0, offset=step.offset, length=step.length, operations=(step,))
    return Block(offset=step.offset, length=step.length, pieces=(piece,))


def _map(path: Path, begin: int, length: int) -> mmap.mmap:
    """Map a range of a file, privately and without claiming memory for pages that nobody writes to.

    Raises:
        StorageError: the file can't be opened, or is shorter.
    """
    try:
        with path.open("rb") as file:
            return mmap.mmap(
                file.fileno(),
                length,
                flags=mmap.MAP_PRIVATE | _NO_RESERVE,
                prot=mmap.PROT_READ | mmap.PROT_WRITE,
                offset=begin,
            )
    except (OSError, ValueError) as error:
        problem = error if isinstance(error, OSError) else OSError(str(error))
        raise storage_error("map", path, problem) from None
