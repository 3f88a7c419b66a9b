"""What every storage backend has to do, whatever it is; a backend's own test module inherits these.

A backend gives two fixtures: `source`, a function from files (path to bytes)
to a `SourceStore` that holds them, and `output`, an `OutputStore`.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from random import Random
from typing import ClassVar

import pytest

from distexpand.errors import StorageError
from distexpand.storage.ranges import Attempt, OutputStore, RangeReader, SourceStore
from tests.support.transfers import buffer_for, filled

MakeSource = Callable[[Mapping[str, bytes]], SourceStore]


def read(file: RangeReader | Attempt, offset: int, length: int) -> bytes:
    buffer = buffer_for(offset, length)
    file.read_into(offset, buffer)
    return bytes(buffer)


def noise(length: int, seed: int = 0) -> bytes:
    return Random(seed).randbytes(length)


class SourceContract:
    """A checkpoint's files, read by range."""

    FILES: ClassVar[dict[str, bytes]] = {
        "a.bin": noise(100_003),
        "empty": b"",
        "folder/b.bin": noise(17, 1),
        "späť kľúč.json": b"{}",
    }

    @pytest.fixture
    def store(self, source: MakeSource) -> SourceStore:
        return source(self.FILES)

    def test_lists_every_file_with_its_size(self, store):
        assert store.files() == {name: len(raw) for name, raw in self.FILES.items()}

    def test_names_its_place(self, store):
        assert store.location

    def test_reads_whole_files(self, store):
        for name, raw in self.FILES.items():
            reader = store.open(name)
            assert reader.size == len(raw)
            assert read(reader, 0, reader.size) == raw
            reader.close()

    def test_reads_any_range(self, store):
        random, raw, reader = Random(2), self.FILES["a.bin"], store.open("a.bin")
        for _ in range(200):
            offset = random.randrange(len(raw))
            length = random.randrange(len(raw) - offset + 1)
            assert read(reader, offset, length) == raw[offset : offset + length]
        reader.close()

    @pytest.mark.parametrize("shift", [0, 1, 16, 512])
    def test_fills_buffers_wherever_they_lie(self, store, shift):
        random, raw, reader = Random(shift), self.FILES["a.bin"], store.open("a.bin")
        for _ in range(50):
            offset = random.randrange(len(raw))
            buffer = buffer_for(offset, random.randrange(len(raw) - offset + 1), shift=shift)
            reader.read_into(offset, buffer)
            assert buffer == raw[offset : offset + len(buffer)]
        reader.close()

    def test_fills_only_the_buffer_it_is_given(self, store):
        reader, buffer = store.open("a.bin"), bytearray(b"x" * 30)
        reader.read_into(5, memoryview(buffer)[10:20])
        assert buffer == b"x" * 10 + self.FILES["a.bin"][5:15] + b"x" * 10
        reader.close()

    @pytest.mark.parametrize(("offset", "length"), [(100_003, 1), (100_000, 4), (0, 100_004), (2**40, 1)])
    def test_reading_beyond_the_end_is_an_error(self, store, offset, length):
        reader = store.open("a.bin")
        with pytest.raises(StorageError, match=r"a\.bin"):
            read(reader, offset, length)
        reader.close()

    @pytest.mark.parametrize("name", ["missing", "folder", "a.bin/x"])
    def test_what_is_no_file_is_an_error(self, store, name):
        with pytest.raises(StorageError, match=name):
            read(store.open(name), 0, 1)

    def test_threads_share_a_reader(self, store):
        raw, reader = self.FILES["a.bin"], store.open("a.bin")
        offsets = [Random(index).randrange(len(raw) - 100) for index in range(400)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda offset: read(reader, offset, 100), offsets))
        assert found == [raw[offset : offset + 100] for offset in offsets]
        reader.close()

    def test_data_ranges_are_ordered_inside_and_cover_what_is_not_zero(self, source):
        raw = noise(5000) + bytes(200_000) + noise(5000, 1) + bytes(100_000)
        reader, random = source({"holes": raw}).open("holes"), Random(3)
        for _ in range(100):
            offset = random.randrange(len(raw))
            length = random.randrange(len(raw) - offset + 1)
            rebuilt, position = bytearray(length), offset
            for start, count in reader.data_ranges(offset, length):
                assert position <= start <= start + count <= offset + length
                position = start + count
                rebuilt[start - offset : position - offset] = raw[start:position]
            assert rebuilt == raw[offset : offset + length]
        reader.close()

    def test_unchanged_file_is_no_error(self, store):
        reader = store.open("a.bin")
        read(reader, 0, 10)
        reader.check_unchanged()
        reader.close()


class OutputContract:
    """Attempts at output files, of which each byte is written once.

    A backend whose finished attempts can't be read as they are gives `contents` as well: a function
    from a finished attempt and its size to its bytes.
    """

    @pytest.fixture
    def contents(self) -> Callable[[Attempt, int], bytes]:
        return lambda attempt, size: read(attempt, 0, size)

    def test_unwritten_bytes_are_zero(self, output: OutputStore, contents):
        with output.begin("model.safetensors", 100_000) as attempt:
            attempt.write(50_000, memoryview(b"data"))
            attempt.finish()
            assert contents(attempt, 100_000) == bytes(50_000) + b"data" + bytes(49_996)

    def test_bytes_that_are_left_are_zero(self, output: OutputStore, contents):
        raw = noise(100_003)
        with output.begin("model.safetensors", len(raw)) as attempt:
            attempt.write(20_000, filled(20_000, raw[20_000:30_001]))
            attempt.leave_zero(0, 20_000)
            attempt.leave_zero(30_001, 0)
            attempt.leave_zero(30_001, len(raw) - 30_001)
            attempt.finish()
            assert contents(attempt, len(raw)) == bytes(20_000) + raw[20_000:30_001] + bytes(70_002)

    @pytest.mark.parametrize("reserved", [False, True])
    def test_written_bytes_are_there(self, output: OutputStore, contents, reserved):
        raw = noise(100_003)
        with output.begin("model.safetensors", len(raw)) as attempt:
            if reserved:
                attempt.reserve(0, len(raw))
            attempt.write(0, filled(0, raw))
            attempt.finish()
            assert contents(attempt, len(raw)) == raw

    def test_bytes_that_can_not_be_changed_are_written(self, output: OutputStore, contents):
        raw = noise(100_003)
        with output.begin("model.safetensors", len(raw)) as attempt:
            attempt.write(0, memoryview(raw))
            attempt.finish()
            assert contents(attempt, len(raw)) == raw

    def test_a_buffer_may_be_used_again_once_it_is_written(self, output: OutputStore, contents):
        raw, buffer = noise(100_000), memoryview(bytearray(1000))
        with output.begin("model.safetensors", len(raw)) as attempt:
            for offset in range(0, len(raw), len(buffer)):
                buffer[:] = raw[offset : offset + len(buffer)]
                attempt.write(offset, buffer)
            attempt.finish()
            assert contents(attempt, len(raw)) == raw

    def test_threads_write_at_any_offsets(self, output: OutputStore, contents):
        raw = noise(1_000_003)
        cuts = sorted({0, len(raw), *(Random(4).randrange(len(raw)) for _ in range(300))})
        ranges = list(pairwise(cuts))
        Random(5).shuffle(ranges)
        with output.begin("model.safetensors", len(raw)) as attempt, ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda r: attempt.write(r[0], filled(r[0], raw[r[0] : r[1]])), ranges))
            attempt.finish()
            same = contents(attempt, len(raw)) == raw  # to show where they differ takes seconds
            assert same

    def test_the_beginning_is_read_back(self, output: OutputStore):
        raw = noise(100_003)
        with output.begin("model.safetensors", len(raw)) as attempt:
            attempt.write(0, filled(0, raw[:5000]))
            attempt.write(5000, filled(5000, raw[5000:]))
            assert read(attempt, 0, 5000) == raw[:5000]

    def test_attempts_never_meet(self, output: OutputStore, contents):
        with ThreadPoolExecutor(8) as pool:
            attempts = list(pool.map(lambda _: output.begin("model.safetensors", 8), range(100)))
        assert len({attempt.name for attempt in attempts}) == 100
        for index, attempt in enumerate(attempts):
            attempt.write(0, memoryview(index.to_bytes(8)))
            attempt.finish()
        for index, attempt in enumerate(attempts):
            assert contents(attempt, 8) == index.to_bytes(8)
            attempt.close()

    def test_reading_beyond_the_end_is_an_error(self, output: OutputStore):
        with output.begin("model.safetensors", 10) as attempt:
            attempt.write(0, memoryview(b"0123456789"))
            with pytest.raises(StorageError):
                read(attempt, 5, 6)

    def test_empty_file_and_empty_ranges(self, output: OutputStore, contents):
        with output.begin("empty", 0) as attempt:
            attempt.reserve(0, 0)
            attempt.write(0, memoryview(b""))
            attempt.leave_zero(0, 0)
            attempt.finish()
            assert contents(attempt, 0) == b""


class RewritableOutputContract(OutputContract):
    """Attempts that are files: what is written can be read back at once, and replaced."""

    def test_written_and_unwritten_bytes_are_read_back_at_once(self, output: OutputStore):
        with output.begin("model.safetensors", 100_000) as attempt:
            assert read(attempt, 0, 100_000) == bytes(100_000)
            attempt.reserve(0, 100_000)
            assert read(attempt, 0, 100_000) == bytes(100_000)
            attempt.write(50_000, memoryview(b"data"))
            assert read(attempt, 0, 100_000) == bytes(50_000) + b"data" + bytes(49_996)

    def test_writing_again_replaces(self, output: OutputStore):
        with output.begin("model.safetensors", 10) as attempt:
            attempt.write(0, memoryview(b"0123456789"))
            attempt.write(3, memoryview(b"abc"))
            assert read(attempt, 0, 10) == b"012abc6789"

    def test_writing_again_replaces_parts_of_large_runs(self, output: OutputStore):
        expected = bytearray(noise(100_003))
        with output.begin("model.safetensors", len(expected)) as attempt:
            attempt.write(0, filled(0, expected))
            for offset in (0, 5, 50_000, 99_990):
                attempt.write(offset, filled(offset, b"replaced"))
                expected[offset : offset + 8] = b"replaced"
            attempt.finish()
            same = read(attempt, 0, len(expected)) == expected  # to show where they differ takes seconds
            assert same
