"""Unpack an archive: decompress, check and write frames in several threads, digest them in order in one."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import xxhash

from distexpand.archive.buffers import FrameBuffers
from distexpand.archive.pipeline import Stop, in_order
from distexpand.archive.room import check_room_to_unpack
from distexpand.archive.staging import StagedDirectory
from distexpand.commit.work_directory import NOTICE_NAME
from distexpand.errors import CheckpointError, UsageError
from distexpand.formats.archive_index import ARCHIVE_NAME
from distexpand.runner.progress import ProgressSink
from distexpand.storage.archives.source import ArchiveSource, is_archive
from distexpand.storage.local.attempt import LocalAttempt
from distexpand.storage.local.directories import WORK_DIRECTORY
from distexpand.storage.local.io_path import choose_writing
from distexpand.storage.ranges import RangeReader, SourceStore

_LAST = (".index.json", "config.json", "distexpand.json")
"""Ends of the names by which loaders and this program find a checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What was unpacked, in bytes."""

    files: int
    size: int
    packed_size: int


class _Work(NamedTuple):
    number: int
    reader: RangeReader
    attempt: LocalAttempt
    offset: int
    length: int


def unpack_checkpoint(
    archive: SourceStore, output: Path, *, threads: int, stop: Stop, progress: ProgressSink
) -> Unpacked:
    """Make the files that an archive was made of again, byte for byte.

    Args:
        archive: the store that holds the archive.
        output: the directory to make; it may exist if it is empty.
        threads: frames that are worked on at once.
        stop: set it to end.
        progress: told of bytes and files as they are done.

    Raises:
        UsageError: it isn't an archive, or the output isn't empty.
        CheckpointError: the archive is damaged; nothing is left.
        InterruptedRunError: `stop` was set; nothing is left.
        StorageError: the archive is damaged, or reading or writing failed; nothing is left.
    """
    if not is_archive(archive.files()):
        raise UsageError(
            f"{archive.location}: is no archive (has no {ARCHIVE_NAME})",
            hint="Give a directory that `distexpand pack` made.",
        )
    source = ArchiveSource(archive)
    files = source.files()
    _refuse_own_names(files, source.location)
    with StagedDirectory(output) as staged:
        check_room_to_unpack(files, output)
        _Unpacker(source, staged.folder).run(threads=threads, stop=stop, progress=progress)
        names = [(str(number), name) for number, name in enumerate(files)]
        staged.publish(sorted(names, key=lambda entry: entry[1].endswith(_LAST)))
    return Unpacked(
        files=len(files),
        size=sum(files.values()),
        packed_size=sum(file.packed_size for file in source.index.files),
    )


def _refuse_own_names(files: dict[str, int], location: str) -> None:
    for name in files:
        if name == NOTICE_NAME or name.split("/")[0].startswith(WORK_DIRECTORY):
            raise CheckpointError(
                f"{location}: holds {name}, which isn't a checkpoint's",
                hint="Take it out of the archive, or unpack it with its own program.",
            )


class _Unpacker:
    """Unpacks all files of an archive to a folder, by their numbers."""

    def __init__(self, source: ArchiveSource, folder: Path) -> None:
        self._source = source
        self._folder = folder
        self._files = source.index.files
        self._open: dict[int, tuple[RangeReader, LocalAttempt]] = {}
        self._buffers = FrameBuffers()
        self._way = choose_writing(folder, trial=False).way

    def run(self, *, threads: int, stop: Stop, progress: ProgressSink) -> None:
        """Write every file; each is checked and synced before the next is over."""
        packed = sum(file.is_packed for file in self._files)
        progress.start(
            total_bytes=sum(file.size for file in self._files), done_bytes=0, shards=packed, shards_done=0
        )
        try:
            results = in_order(self._restore, self._work(), threads=threads, stop=stop)
            with closing(results):
                for number, frames in groupby(results, key=lambda result: result[0].number):
                    self._finish(number, frames, progress)
        finally:
            for reader, attempt in self._open.values():
                attempt.close()
                reader.close()
            progress.stop()

    def _work(self) -> Iterator[_Work]:
        """Yield what is to be done, opening file after file."""
        for number, file in enumerate(self._files):
            reader = self._source.open(file.name)
            attempt = LocalAttempt(self._folder / str(number), file.size, way=self._way)
            self._open[number] = reader, attempt
            for offset, length in self._source.whole_frames(file.name):
                yield _Work(number, reader, attempt, offset, length)

    def _restore(self, work: _Work) -> memoryview:
        raw = self._buffers.take(work.offset, work.length)
        work.reader.read_into(work.offset, raw)
        work.attempt.write(work.offset, raw)
        return raw

    def _finish(
        self, number: int, frames: Iterator[tuple[_Work, memoryview]], progress: ProgressSink
    ) -> None:
        file, digest = self._files[number], xxhash.xxh3_128()
        for _, raw in frames:
            digest.update(raw)
            progress.advance(len(raw))
            self._buffers.give_back(raw)
        if digest.hexdigest() != file.digest:
            raise CheckpointError(
                f"{self._source.location}/{self._source.index.packed_name(file)}: "
                "doesn't hold the file that was packed (its digest differs)",
                hint="The archive is damaged; make it again, or fetch it again.",
            )
        reader, attempt = self._open.pop(number)
        attempt.finish()
        attempt.close()
        reader.close()
        if file.is_packed:
            progress.shard_done(file.name)
