"""Pack a checkpoint: read, digest and compress frames in several threads, write them in order in one.

The archive's bytes depend on the files' bytes alone (and on zstd's version),
not on threads. Memory is a few frames per thread, and a little for each frame.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import xxhash

from distexpand.archive.buffers import FrameBuffers
from distexpand.archive.coding import Coder
from distexpand.archive.container import Container
from distexpand.archive.layout import UNKNOWN, Cut, cut_file
from distexpand.archive.pipeline import Stop, in_order
from distexpand.archive.room import check_room_to_pack
from distexpand.archive.shelves import DenseShelf, FrameKey, PlainShelf, Shelf
from distexpand.archive.staging import StagedDirectory
from distexpand.commit.work_directory import NOTICE_NAME
from distexpand.errors import CheckpointError, UsageError
from distexpand.formats.archive_index import (
    ARCHIVE_NAME,
    PACKED_SUFFIX,
    ArchivedFile,
    ArchiveIndex,
    Form,
    check_places,
    encode_archive_index,
    packed_name,
)
from distexpand.formats.json_text import brief
from distexpand.intake.pins import read_whole
from distexpand.runner.progress import ProgressSink
from distexpand.storage.archives.source import is_archive
from distexpand.storage.ranges import RangeReader, SourceStore

SMALL_BYTES = 1024 * 1024
"""Files of fewer bytes, other than weights, lie in the archive as they are: for people and tools to read."""

_RENAME = "Rename the file; an archive can't hold it so."

_SHELVES: dict[Form, Callable[[], Shelf]] = {Form.PLAIN: PlainShelf, Form.DENSE: DenseShelf}


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What was packed, in bytes.

    `repeated` were in frames that had come before; `shared` of the archive are blocks that its
    files have in common.
    """

    files: int
    size: int
    packed_size: int
    repeated: int
    shared: int


class _Work(NamedTuple):
    number: int
    reader: RangeReader
    cut: Cut


class _Done(NamedTuple):
    raw: memoryview
    key: FrameKey
    parts: tuple[bytes, ...]


def pack_checkpoint(
    source: SourceStore,
    archive: Path,
    *,
    form: Form = Form.PLAIN,
    level: int | None = None,
    threads: int,
    stop: Stop,
    progress: ProgressSink,
) -> Packed:
    """Make an archive of all files of a checkpoint.

    Args:
        source: the checkpoint; all that its `files` names is packed.
        archive: the directory to make; it may exist if it is empty.
        form: files that any zstd tool opens, or the denser form.
        level: of zstd, instead of what suits weights.
        threads: frames that are worked on at once.
        stop: set it to end.
        progress: told of bytes and files as they are done.

    Raises:
        UsageError: the archive's directory isn't empty, or the source isn't a whole checkpoint.
        InterruptedRunError: `stop` was set; nothing is left.
        StorageError: reading or writing failed; nothing is left.
    """
    files = _checked_files(source, form)
    coder = Coder(form, level)
    packer = _Packer(source, files, form, coder)
    with StagedDirectory(archive) as staged:
        check_room_to_pack(source, files, archive, form, coder)
        packer.run(staged.folder, threads=threads, stop=stop, progress=progress)
        index = ArchiveIndex(form=form, files=tuple(packer.done[name] for name in files))
        raw = encode_archive_index(index)
        _write_small(staged.folder / ARCHIVE_NAME, raw)
        names = [(str(number), index.packed_name(file)) for number, file in enumerate(index.files)]
        staged.publish([*names, (ARCHIVE_NAME, ARCHIVE_NAME)])
    return Packed(
        files=len(files),
        size=sum(files.values()),
        packed_size=sum(file.packed_size for file in index.files) + len(raw),
        repeated=packer.shelf.repeated,
        shared=packer.shared,
    )


def is_packed(name: str, size: int) -> bool:
    """Whether a file is compressed: if not, its name in the archive is its own, and ends otherwise."""
    return size >= SMALL_BYTES or name.endswith((".safetensors", PACKED_SUFFIX))


def _checked_files(source: SourceStore, form: Form) -> dict[str, int]:
    files = dict(sorted(source.files().items()))
    if not files:
        raise UsageError(f"{source.location}: holds no files", hint="Give the directory of a checkpoint.")
    if is_archive(files):
        raise UsageError(f"{source.location}: is an archive already")
    if NOTICE_NAME in files:
        raise UsageError(
            f"{source.location}: holds an unfinished expansion",
            hint="Finish it with --resume first, or pack another directory.",
        )
    _check_names(files, form, source.location)
    return files


def _check_names(files: Mapping[str, int], form: Form, location: str) -> None:
    names = [packed_name(name, form) if is_packed(name, size) else name for name, size in files.items()]
    try:
        for name in names:
            name.encode()
        check_places([ARCHIVE_NAME, *names], origin=location)
    except UnicodeEncodeError:
        raise UsageError(f"{location}: file {brief(name)}: the name isn't UTF-8", hint=_RENAME) from None
    except CheckpointError as error:
        raise UsageError(error.message, hint=_RENAME) from None


class _Packer:
    """Packs the files of one checkpoint; `done` says what became of each."""

    def __init__(self, source: SourceStore, files: Mapping[str, int], form: Form, coder: Coder) -> None:
        self.done: dict[str, ArchivedFile] = {}
        self.shared = 0
        self.shelf = _SHELVES[form]()
        self._source = source
        self._files = files
        self._coder = coder
        self._names = list(files)
        self._open: dict[int, RangeReader] = {}
        self._buffers = FrameBuffers()

    def run(self, folder: Path, *, threads: int, stop: Stop, progress: ProgressSink) -> None:
        """Write every file's stand-in to a folder, by its number."""
        packed = [number for number, name in enumerate(self._names) if is_packed(name, self._files[name])]
        progress.start(total_bytes=sum(self._files.values()), done_bytes=0, shards=len(packed), shards_done=0)
        try:
            for number in set(range(len(self._names))) - set(packed):
                self._copy(number, folder / str(number))
                progress.advance(self._files[self._names[number]])
            results = in_order(self._encode, self._work(packed), threads=threads, stop=stop)
            with closing(results):
                for number, frames in groupby(results, key=lambda result: result[0].number):
                    self._write(number, frames, folder / str(number), progress)
                    progress.shard_done(self._names[number])
        finally:
            for reader in self._open.values():
                reader.close()
            progress.stop()

    def _work(self, numbers: list[int]) -> Iterator[_Work]:
        """Yield what is to be done, opening file after file."""
        for number in numbers:
            name = self._names[number]
            reader = self._open[number] = self._source.open(name)
            if reader.size != self._files[name]:
                raise _changed(self._source, name)
            cuts = cut_file(reader, name) if reader.size else iter([Cut(0, 0, UNKNOWN)])
            for cut in cuts:
                yield _Work(number, reader, cut)

    def _encode(self, work: _Work) -> _Done:
        raw = self._buffers.take(work.cut.offset, work.cut.length)
        work.reader.read_into(work.cut.offset, raw)
        key = FrameKey(xxhash.xxh3_128_digest(raw), len(raw))
        # Frames that are written by now needn't be compressed; those that are under way will be twice.
        parts = () if key in self.shelf else self._coder.encode(raw, work.cut.widths)
        return _Done(raw, key, parts)

    def _write(
        self, number: int, frames: Iterator[tuple[_Work, _Done]], path: Path, progress: ProgressSink
    ) -> None:
        digest = xxhash.xxh3_128()
        with Container(path) as container:
            self.shelf.begin(container, number)
            for _, frame in frames:
                digest.update(frame.raw)
                if frame.raw:
                    self.shelf.place(frame.key, frame.parts)
                progress.advance(len(frame.raw))
                self._buffers.give_back(frame.raw)
            self._open[number].check_unchanged()
            self._open.pop(number).close()
            index_digest = self.shelf.end()
            container.finish()
        self.shared += container.shared
        self._note(number, digest.hexdigest(), container.size, index_digest)

    def _copy(self, number: int, path: Path) -> None:
        raw = read_whole(self._source, self._names[number])
        if len(raw) != self._files[self._names[number]]:
            raise _changed(self._source, self._names[number])
        _write_small(path, raw)
        self._note(number, xxhash.xxh3_128_hexdigest(raw), len(raw), "")

    def _note(self, number: int, digest: str, packed_size: int, index_digest: str) -> None:
        name = self._names[number]
        self.done[name] = ArchivedFile(
            name=name,
            size=self._files[name],
            digest=digest,
            packed_size=packed_size,
            index_digest=index_digest,
        )


def _changed(source: SourceStore, name: str) -> CheckpointError:
    return CheckpointError(
        f"{source.location}/{name}: changed while it was packed",
        hint="Wait until nothing writes to it, then call again.",
    )


def _write_small(path: Path, raw: bytes) -> None:
    with Container(path) as container:
        container.append(raw)
        container.finish()
