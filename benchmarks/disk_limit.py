"""The limit: the same bytes read and written by a bare loop of large reads and writes, and nothing else.

Takes a JSON file of what to read (path, offset, length) and what to write (path, size of the
file, how many bytes of it are data). Output files are made at their full size first. Then
`--threads` threads each take the next piece of 16 MiB, to read it or to write one, spread so
that reading and writing go on side by side from the first piece to the last. What is written
is whatever the last read left in the thread's buffer, so no write waits for a read: no real
program can do that, which makes it a limit. Pieces are rounded out to whole pages.

`--mode direct` goes past the page cache both ways. `--mode mixed` reads through it, gives the
pages back behind itself, and writes past it.

    python -m benchmarks.disk_limit WORK.json --threads 4 --mode direct
"""

import argparse
import ctypes
import json
import mmap
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal, Self

PIECE_BYTES = 16 * 2**20
PAGE_BYTES = 4096
_HUGE_PAGE_BYTES = 2 * 2**20

Mode = Literal["direct", "mixed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A range of a file that is read, in bytes."""

    path: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A file of `size` bytes that is made, of which `data` bytes are written and the rest left as zeros."""

    path: str
    size: int
    data: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskWork:
    """What a disk has to do."""

    reads: tuple[Read, ...]
    writes: tuple[Write, ...]

    @property
    def read_bytes(self) -> int:
        """Bytes of all reads."""
        return sum(read.length for read in self.reads)

    @property
    def written_bytes(self) -> int:
        """Bytes of data in all writes."""
        return sum(write.data for write in self.writes)

    def save(self, path: Path) -> Path:
        """Write it as JSON; return the path."""
        path.write_text(json.dumps(asdict(self)))
        return path

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return what `save` wrote."""
        document = json.loads(path.read_text())
        return cls(
            reads=tuple(Read(**read) for read in document["reads"]),
            writes=tuple(Write(**write) for write in document["writes"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A range of whole pages of one file, at most a buffer long, that is read or written."""

    path: str
    offset: int
    length: int
    is_write: bool


def pieces(work: DiskWork) -> list[Piece]:
    """Return all pieces, reads and writes spread evenly among each other."""
    reads = [
        piece
        for read in work.reads
        for piece in _cut(read.path, read.offset, read.offset + read.length, is_write=False)
    ]
    writes = [piece for write in work.writes for piece in _cut(write.path, 0, write.data, is_write=True)]
    places = [
        ((number + 0.5) / len(kind), piece) for kind in (reads, writes) for number, piece in enumerate(kind)
    ]
    return [piece for _, piece in sorted(places, key=lambda place: place[0])]


def _cut(path: str, begin: int, end: int, *, is_write: bool) -> Iterator[Piece]:
    begin, end = begin // PAGE_BYTES * PAGE_BYTES, -(-end // PAGE_BYTES) * PAGE_BYTES
    for offset in range(begin, end, PIECE_BYTES):
        length = min(PIECE_BYTES, end - offset)
        yield Piece(path=path, offset=offset, length=length, is_write=is_write)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path, help="JSON file of reads and writes")
    parser.add_argument("--threads", type=int, default=4, help="pieces under way at once")
    parser.add_argument("--mode", choices=("direct", "mixed"), default="direct")
    arguments = parser.parse_args()
    move(DiskWork.load(arguments.work), threads=arguments.threads, mode=arguments.mode)
    return 0


def move(work: DiskWork, *, threads: int, mode: Mode) -> None:
    """Do all reads and writes; outputs are on the disk when it returns."""
    queue: SimpleQueue[Piece] = SimpleQueue()
    for piece in pieces(work):
        queue.put(piece)
    with ExitStack() as stack:
        files = _open_sources(work.reads, mode) | _make_outputs(work.writes)
        for descriptor in files.values():
            stack.callback(os.close, descriptor)
        with ThreadPoolExecutor(threads) as pool:
            workers = [pool.submit(_work, queue, files, mode) for _ in range(threads)]
        for worker in workers:
            worker.result()
        for write in work.writes:
            os.ftruncate(files[write.path], write.size)
            os.fsync(files[write.path])


def _open_sources(reads: Sequence[Read], mode: Mode) -> dict[str, int]:
    flags = os.O_RDONLY | (os.O_DIRECT if mode == "direct" else 0)
    return {path: os.open(path, flags) for path in dict.fromkeys(read.path for read in reads)}


def _make_outputs(writes: Sequence[Write]) -> dict[str, int]:
    """Make the files at their sizes, without writing anything."""
    files = {}
    for write in writes:
        Path(write.path).parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(write.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_DIRECT, 0o644)
        os.posix_fallocate(descriptor, 0, write.size)
        files[write.path] = descriptor
    return files


def _work(queue: "SimpleQueue[Piece]", files: dict[str, int], mode: Mode) -> None:
    """Take pieces until none is left."""
    buffer = _buffer()
    while True:
        try:
            piece = queue.get_nowait()
        except Empty:
            return
        view = buffer[: piece.length]
        if piece.is_write:
            _write(files[piece.path], view, piece.offset)
        else:
            _read(files[piece.path], view, piece.offset)
            if mode == "mixed":
                os.posix_fadvise(files[piece.path], piece.offset, piece.length, os.POSIX_FADV_DONTNEED)


def _buffer() -> memoryview:
    """Return a buffer for one piece that begins on a huge page; shared memory would have none."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    memory = mmap.mmap(-1, PIECE_BYTES + _HUGE_PAGE_BYTES, flags=flags)
    memory.madvise(mmap.MADV_HUGEPAGE)
    skipped = -ctypes.addressof(ctypes.c_char.from_buffer(memory)) % _HUGE_PAGE_BYTES
    return memoryview(memory)[skipped : skipped + PIECE_BYTES]


def _read(descriptor: int, view: memoryview, offset: int) -> None:
    """Fill the view; only the end of the file leaves less than a page over."""
    done = 0
    while len(view) - done >= PAGE_BYTES:
        count = os.preadv(descriptor, [view[done:]], offset + done)
        done += count
        if count % PAGE_BYTES:
            return
        if not count:
            raise OSError(f"the file ends before byte {offset + len(view)}")


def _write(descriptor: int, view: memoryview, offset: int) -> None:
    if os.pwrite(descriptor, view, offset) != len(view):
        raise OSError(f"a write of {len(view)} bytes at {offset} was cut short")


if __name__ == "__main__":
    sys.exit(main())
