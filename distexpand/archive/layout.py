"""How a file is cut into frames: at the borders of its tensors, so that each is found and known again alone.

A tensor of several frames is cut from its own beginning, and small neighbours
share a frame only within one layer. So a layer that occurs twice gives the
same frames twice, wherever it lies, and they are stored once. What isn't known
to be tensors is cut from the file's beginning.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from distexpand.errors import CheckpointError
from distexpand.formats.header import LENGTH_BYTES, header_size, parse_header
from distexpand.formats.packed_frames import FRAME_BYTES
from distexpand.intake.pickle_archive import read_archive
from distexpand.intake.pins import read_range
from distexpand.storage.ranges import RangeReader

LEAST_FRAME_BYTES = 1024 * 1024
"""Neighbouring tensors share a frame until it has as many: smaller ones cost more than they spare readers."""

_ZIP_SUFFIXES = (".bin", ".pt", ".pth")
_LAYER = re.compile(r"^.*?\.(\d+)(?=\.)")


class Widths(NamedTuple):
    """Bytes per element of which byte planes may be worth a try, and whether these are surely elements."""

    tried: tuple[int, ...]
    known: bool


UNKNOWN = Widths((2, 4), known=False)
"""Any bytes: a model in another format, or a text."""

_SMALL = Widths((), known=True)
_OF_BITS = {16: Widths((2,), known=True), 32: Widths((4,), known=True)}


class Run(NamedTuple):
    """`length` bytes at `offset` of a file that belong together: a tensor, a header, or anything."""

    offset: int
    length: int
    widths: Widths
    layer: str


class Cut(NamedTuple):
    """What becomes one frame."""

    offset: int
    length: int
    widths: Widths


def cut_file(reader: RangeReader, name: str) -> Iterator[Cut]:
    """Yield what becomes the frames of a file, in order and without gaps.

    A file that isn't what its name says is cut like any other bytes: to judge it isn't this
    program's business here.

    Raises:
        StorageError: the file can't be read.
    """
    return _cut(_joined(_filled(_tensors(reader, name), reader.size)))


def _tensors(reader: RangeReader, name: str) -> list[Run]:
    try:
        if name.endswith(".safetensors"):
            return _of_safetensors(reader, name)
        if name.endswith(_ZIP_SUFFIXES):
            return _of_zip(reader, name)
    except CheckpointError:
        pass
    return []


def _of_safetensors(reader: RangeReader, name: str) -> list[Run]:
    prefix = read_range(reader, 0, min(LENGTH_BYTES, reader.size))
    raw = read_range(reader, 0, header_size(prefix, file_size=reader.size, origin=name))
    header = parse_header(raw, file_size=reader.size, origin=name)
    runs = [Run(0, header.size, Widths((), known=False), "")]
    for tensor_name in header.in_order():
        tensor = header.tensors[tensor_name]
        widths = _OF_BITS.get(tensor.dtype.bits, _SMALL)
        runs.append(Run(tensor.offset, tensor.length, widths, _layer(tensor_name)))
    return runs


def _of_zip(reader: RangeReader, name: str) -> list[Run]:
    """Return the records of torch's format; whose elements they are stands in the pickle, which isn't run."""
    records = read_archive(reader, origin=name).records.values()
    runs = [Run(record.offset, record.length, UNKNOWN, "") for record in records]
    return sorted(run for run in runs if run.length >= LEAST_FRAME_BYTES)


def _layer(name: str) -> str:
    """Return what the names of a layer's tensors have in common: all to the first number."""
    found = _LAYER.match(name)
    return found[0] if found else ""


def _filled(runs: Iterable[Run], size: int) -> Iterator[Run]:
    """Yield runs and what lies between them; of runs that overlap the first."""
    position = 0
    for run in runs:
        if run.offset < position:
            continue
        if run.offset > position:
            yield Run(position, run.offset - position, UNKNOWN, "")
        yield run
        position = run.offset + run.length
    if position < size:
        yield Run(position, size - position, UNKNOWN, "")


def _joined(runs: Iterable[Run]) -> Iterator[Run]:
    """Yield runs, small ones that may share a frame as one."""
    waiting: Run | None = None
    for run in runs:
        if waiting is not None and _may_join(waiting, run):
            waiting = waiting._replace(length=waiting.length + run.length)
            continue
        if waiting is not None:
            yield waiting
        waiting = run
    if waiting is not None:
        yield waiting


def _may_join(first: Run, then: Run) -> bool:
    alike = (first.widths, first.layer) == (then.widths, then.layer)
    return (
        alike
        and first.widths.known
        and first.length < LEAST_FRAME_BYTES
        and first.length + then.length <= FRAME_BYTES
    )


def _cut(runs: Iterable[Run]) -> Iterator[Cut]:
    for run in runs:
        for offset in range(run.offset, run.offset + run.length, FRAME_BYTES):
            yield Cut(offset, min(FRAME_BYTES, run.offset + run.length - offset), run.widths)
