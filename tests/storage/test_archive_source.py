"""Archives keep the contract of a source: only what is asked for is read, and damage is never passed on."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distexpand.errors import CheckpointError, StorageError
from distexpand.formats.archive_index import ARCHIVE_NAME, Form
from distexpand.formats.dtypes import DType
from distexpand.formats.header import encode_header, parse_header
from distexpand.intake.pins import read_header
from distexpand.storage.archives import reader as archive_reader
from distexpand.storage.archives.source import ArchiveSource, is_archive
from distexpand.storage.local.directories import LocalSource
from tests.storage.contract import SourceContract, noise, read
from tests.support.archives import FRAME_BYTES, CountedStore, packed, small_frames, written

TENSORS = [
    (f"model.layers.{layer}.{name}", dtype, (rows, 16))
    for layer in range(6)
    for name, dtype, rows in [("big", DType.BF16, 300), ("norm", DType.F32, 3), ("small", DType.BF16, 8)]
]


@pytest.fixture(params=Form)
def form(request):
    return request.param


@pytest.fixture
def small():
    with small_frames():
        yield


@pytest.fixture
def source(tmp_path, form):
    numbers = count()

    def make(files):
        folder = tmp_path / str(next(numbers))
        packed(written(folder / "files", files), folder / "archive", form)
        return ArchiveSource(LocalSource(folder / "archive"))

    return make


@pytest.mark.usefixtures("small")
class TestArchiveSource(SourceContract):
    """The contract with every file packed, in frames much smaller than the ranges that are read."""


class TestArchiveSourceOfSmallFiles(SourceContract):
    """The contract with small files as they are."""


def model(seed=0):
    """Return a safetensors file whose layers 0 and 1, and 4 and 5, are equal."""
    header = encode_header(TENSORS, {"format": "pt"})
    layers = [noise(9600 + 192 + 256, seed * 10 + number) for number in (0, 0, 2, 3, 4, 4)]
    return header + b"".join(layers)


@pytest.fixture
def archive(tmp_path, form, small):  # noqa: ARG001  # while the fixture lasts
    packed(
        written(tmp_path / "model", {"model.safetensors": model(), "b.safetensors": model(1)}),
        tmp_path / "a",
        form,
    )
    return tmp_path / "a"


def test_a_tensor_is_read_from_its_frames_alone(archive):
    raw = model()
    tensors = parse_header(_header(raw), file_size=len(raw), origin="x").tensors
    for tensor in tensors.values():
        store = CountedStore(LocalSource(archive))
        source = ArchiveSource(store)
        reader = source.open("model.safetensors")
        store.read.clear()
        assert (
            read(reader, tensor.offset, tensor.length) == raw[tensor.offset : tensor.offset + tensor.length]
        )
        touched = [
            frame
            for frame in source.frames("model.safetensors").frames
            if frame.offset < tensor.offset + tensor.length and tensor.offset < frame.offset + frame.length
        ]
        assert sum(frame.length for frame in touched) <= tensor.length + FRAME_BYTES
        gaps = 4096 * len(touched)
        assert sum(store.read.values()) <= sum(frame.packed_length for frame in touched) + gaps
        reader.close()


def _header(raw):
    return raw[: 8 + int.from_bytes(raw[:8], "little")]


def test_headers_are_read_like_any_file_s(archive):
    source = ArchiveSource(LocalSource(archive))
    assert read_header(source, "model.safetensors") == (_header(model()), len(model()))


def test_neighbouring_ranges_read_and_decompress_a_frame_once(archive, monkeypatch):
    decoded = []
    decode = archive_reader.decode_frame
    monkeypatch.setattr(
        archive_reader, "decode_frame", lambda frame, raw: decoded.append(frame) or decode(frame, raw)
    )
    store = CountedStore(LocalSource(archive))
    source, raw = ArchiveSource(store), model()
    reader = source.open("model.safetensors")
    step = 700
    store.read.clear()
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(
            lambda offset: read(reader, offset, min(step, len(raw) - offset)), range(0, len(raw), step)
        )
        assert b"".join(parts) == raw
    reader.close()
    assert sorted(decoded) == sorted(source.frames("model.safetensors").frames)
    assert sum(store.read.values()) == sum(frame.packed_length for frame in decoded)


def test_containers_are_open_once_and_only_while_they_are_needed(archive):
    store = CountedStore(LocalSource(archive))
    source = ArchiveSource(store)
    assert store.open_files == 0
    readers = [source.open(name) for name in source.files() for _ in range(5)]
    for reader in readers:
        assert read(reader, 0, reader.size)
    assert store.open_files == 2
    for reader in readers:
        reader.close()
    assert store.open_files == 0


def test_equal_frames_are_named_not_stored_in_the_dense_form(archive, form):
    source = ArchiveSource(LocalSource(archive))
    for name in source.files():
        frames = source.frames(name).frames
        places = {(frame.container, frame.packed_offset) for frame in frames}
        assert len(frames) - len(places) == (14 if form is Form.DENSE else 0)


@pytest.mark.parametrize("name", ["model.safetensors", "b.safetensors", ARCHIVE_NAME])
def test_a_missing_or_cut_file_is_an_error_that_names_it(archive, form, name):
    packed_name = name if name == ARCHIVE_NAME else name + (".zst" if form is Form.PLAIN else ".dense.zst")
    whole = (archive / packed_name).read_bytes()
    for length in [*range(0, len(whole), 997), len(whole) - 1]:
        (archive / packed_name).write_bytes(whole[:length])
        with pytest.raises((CheckpointError, StorageError), match=packed_name):
            _read_all(archive)
    (archive / packed_name).unlink()
    with pytest.raises((CheckpointError, StorageError), match=packed_name):
        _read_all(archive)


def _read_all(archive):
    source = ArchiveSource(LocalSource(archive))
    found = {}
    for name, size in source.files().items():
        reader = source.open(name)
        with suppress(MemoryError):
            found[name] = read(reader, 0, size)
        reader.close()
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_damage_anywhere_is_an_error_or_changes_nothing(archive, seed):
    random = Random(seed)
    path = random.choice(sorted(archive.iterdir()))
    whole = path.read_bytes()
    raw = bytearray(whole)
    for _ in range(random.choice([1, 1, 1, 2, 20])):
        raw[random.randrange(len(raw))] ^= random.choice([1 << random.randrange(8), 0xFF])
    path.write_bytes(raw)
    try:
        with suppress(CheckpointError, StorageError):
            assert _read_all(archive) == {"b.safetensors": model(1), "model.safetensors": model()}
    finally:
        path.write_bytes(whole)


@pytest.mark.usefixtures("small")
def test_every_byte_of_a_small_archive_is_guarded(tmp_path, form):
    """Each byte in turn, also the bits that switch checks off: 4 of a frame's head is its checksum's."""
    files = {"a.safetensors": noise(40) * 3, "b.safetensors": bytes(300), "c.safetensors": b"x"}
    packed(written(tmp_path / "model", files), tmp_path / "a", form)
    for path in sorted((tmp_path / "a").iterdir()):
        whole = path.read_bytes()
        for place in range(len(whole)):
            for value in {whole[place] ^ 1 << place % 8, whole[place] ^ 4}:
                path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
                with suppress(CheckpointError, StorageError):
                    assert _read_all(tmp_path / "a") == files
        path.write_bytes(whole)


@pytest.mark.usefixtures("small")
def test_a_container_of_another_archive_is_an_error(tmp_path, form):
    for number in range(2):
        folder = written(tmp_path / f"model{number}", {"model.safetensors": model(number)})
        packed(folder, tmp_path / f"a{number}", form)
    name = "model.safetensors" + (".zst" if form is Form.PLAIN else ".dense.zst")
    (tmp_path / "a0" / name).write_bytes((tmp_path / "a1" / name).read_bytes())
    with pytest.raises((CheckpointError, StorageError), match=r"model\.safetensors"):
        _read_all(tmp_path / "a0")


def test_a_container_that_changes_is_noticed(archive):
    source = ArchiveSource(LocalSource(archive))
    reader = source.open("model.safetensors")
    reader.check_unchanged()
    path = archive / source.index.packed_name(source.index.files[1])
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StorageError, match=r"model\.safetensors"):
        reader.check_unchanged()
    reader.close()


def test_threads_read_all_files_at_random(archive):
    source, raws = (
        ArchiveSource(LocalSource(archive)),
        {"model.safetensors": model(), "b.safetensors": model(1)},
    )
    readers = {name: source.open(name) for name in raws}
    stop = threading.Event()

    def work(seed):
        random = Random(seed)
        for _ in range(150):
            name = random.choice(sorted(raws))
            offset = random.randrange(len(raws[name]))
            length = random.randrange(min(9000, len(raws[name]) - offset + 1))
            if read(readers[name], offset, length) != raws[name][offset : offset + length]:
                stop.set()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(12)))
    assert not stop.is_set()
    for reader in readers.values():
        reader.close()


def test_archives_are_told_from_checkpoints(archive):
    assert is_archive(LocalSource(archive).files())
    assert not is_archive({"model.safetensors.zst": 10, "config.json": 3})
    with pytest.raises(StorageError, match=ARCHIVE_NAME):
        ArchiveSource(LocalSource(archive.parent / "model"))
