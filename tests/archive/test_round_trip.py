"""What was packed is unpacked byte for byte, by us and, in the plain form, by zstd's own tools."""

import io
from itertools import count

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distexpand.errors import UsageError
from distexpand.formats.archive_index import ARCHIVE_NAME, Form
from distexpand.formats.dtypes import DType
from distexpand.formats.header import encode_header
from distexpand.storage.archives import byte_planes
from tests.api.small import small_model, tree
from tests.formats.headers import data_bytes, metadata, tensor_lists
from tests.storage.contract import noise
from tests.support.archives import packed, restored_by_zstd, small_frames, unpacked, written
from tests.support.tiny import tiny_checkpoint, to_bin

quick = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=40,
    deadline=None,
)
numbers = count()
forms = st.sampled_from(Form)


@st.composite
def contents(draw):
    """Bytes that repeat, are noise, or are zeros."""
    parts = draw(
        st.lists(
            st.tuples(st.sampled_from(["noise", "zeros", "text"]), st.integers(0, 5000), st.integers(0, 2)),
            max_size=5,
        )
    )
    made = {
        "noise": noise,
        "zeros": lambda length, _: bytes(length),
        "text": lambda n, seed: b"abc"[: seed + 1] * n,
    }
    return b"".join(made[kind](length, seed) for kind, length, seed in parts)


names = st.sampled_from(["config.json", "a.safetensors", "b.bin", "c.gguf", "d.zst", "folder/deep/e", "f"])


@st.composite
def shards(draw):
    tensors = draw(tensor_lists())
    header = encode_header(tensors, draw(metadata))
    return header + noise(data_bytes(tensors), draw(st.integers(0, 3)))


@quick
@given(files=st.dictionaries(names, contents(), min_size=1), form=forms)
def test_any_files_come_back(tmp_path, files, form):
    check_round_trip(tmp_path / str(next(numbers)), files, form)


@quick
@given(files=st.lists(shards(), min_size=1, max_size=4), form=forms)
def test_any_shards_come_back(tmp_path, files, form):
    named = {f"model-{number}.safetensors": raw for number, raw in enumerate(files)}
    check_round_trip(tmp_path / str(next(numbers)), named, form)


def check_round_trip(folder, files, form):
    with small_frames():
        source = written(folder / "model", files)
        packed(source, folder / "archive", form)
        unpacked(folder / "archive", folder / "out")
    assert tree(folder / "out") == files
    for path in (folder / "archive").rglob("*.zst"):
        # Every zstd file holds zstd frames and nothing else, whatever the form.
        reader = zstandard.ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True)
        restored = reader.read()
        if form is Form.PLAIN:
            assert restored == files[path.relative_to(folder / "archive").as_posix().removesuffix(".zst")]


def model_files():
    """A checkpoint with equal layers, in two shards, whose sizes aren't round."""
    tensors = [
        (f"model.layers.{layer}.{name}", dtype, (rows, 16))
        for layer in range(4)
        for name, dtype, rows in [
            ("a", DType.BF16, 301),
            ("b", DType.F32, 7),
            ("c", DType.F8_E4M3, 99),
            ("d", DType.F64, 3),
        ]
    ]
    header = encode_header(tensors, {})
    length = data_bytes(tensors) // 4
    return {
        f"model-{shard}-of-2.safetensors": header + b"".join(noise(length, seed) for seed in seeds)
        for shard, seeds in [(1, (1, 2, 1, 3)), (2, (2, 4, 4, 1))]
    }


def test_zstd_restores_every_file(tmp_path):
    files = {**model_files(), "empty.zst": b"", "weights.bin": noise(100_000), "config.json": b"{}"}
    with small_frames():
        packed(written(tmp_path / "model", files), tmp_path / "archive")
    for name, raw in files.items():
        path = tmp_path / "archive" / f"{name}.zst"
        assert restored_by_zstd(path) == raw


@pytest.mark.parametrize("form", Form)
def test_the_bytes_do_not_depend_on_threads(tmp_path, form):
    source = written(tmp_path / "model", model_files())
    with small_frames():
        for threads in (1, 2, 7):
            packed(source, tmp_path / str(threads), form, threads=threads)
    assert tree(tmp_path / "1") == tree(tmp_path / "2") == tree(tmp_path / "7")


def test_the_bytes_do_not_depend_on_numpy(tmp_path, monkeypatch):
    source = written(tmp_path / "model", model_files())
    with small_frames():
        packed(source, tmp_path / "with", Form.DENSE)
        monkeypatch.setattr(byte_planes, "_numpy", lambda: None)
        packed(source, tmp_path / "without", Form.DENSE)
        assert tree(tmp_path / "with") == tree(tmp_path / "without")
        unpacked(tmp_path / "with", tmp_path / "out")
    assert tree(tmp_path / "out") == tree(source)


@pytest.mark.parametrize("form", Form)
def test_real_checkpoints_come_back(tmp_path, form):
    model = small_model(tmp_path / "model", fill="random")
    report = packed(model, tmp_path / "archive", form)
    unpacked(tmp_path / "archive", tmp_path / "out")
    assert tree(tmp_path / "out") == tree(model)
    assert report.files == len(tree(model))
    assert report.size == sum(map(len, tree(model).values()))
    assert report.packed_size == sum(map(len, tree(tmp_path / "archive").values()))
    assert (tmp_path / "archive" / "config.json").read_bytes() == (model / "config.json").read_bytes()


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("legacy", [False, True])
def test_pickled_checkpoints_come_back(tmp_path, form, legacy):
    """Old ones, too, whose format isn't looked into."""
    model = to_bin(tiny_checkpoint(tmp_path / "tiny", "llama"), tmp_path / "model", legacy=legacy)
    with small_frames():
        packed(model, tmp_path / "archive", form)
        unpacked(tmp_path / "archive", tmp_path / "out")
    assert tree(tmp_path / "out") == tree(model)


def test_equal_layers_are_stored_once_in_the_dense_form(tmp_path):
    """Within a shard and in another one, with the same names or others."""
    files = model_files()
    with small_frames():
        report = packed(written(tmp_path / "model", files), tmp_path / "archive", Form.DENSE)
    layer = (len(files["model-1-of-2.safetensors"]) - 1000) // 4
    stored = sum(path.stat().st_size for path in (tmp_path / "archive").glob("*.dense.zst"))
    assert report.repeated >= 4 * layer  # of eight layers four are different, noise that can't be compressed
    assert stored < 4.5 * layer


def test_byte_planes_are_smaller_where_they_pay(tmp_path):
    """Numbers of similar size, as weights are; and bytes of which half are zero, which zstd does as well."""
    weights = b"".join(bytes([byte, 0x3C + (byte & 1)]) for byte in noise(60_000))
    sizes = {}
    header = encode_header([("w", DType.BF16, (60_000,))], {})
    source = written(tmp_path / "model", {"model.safetensors": header + weights})
    for form in Form:
        sizes[form] = packed(source, tmp_path / form, form).packed_size
    assert sizes[Form.DENSE] < 0.65 * len(weights) < sizes[Form.PLAIN]


def test_a_level_of_zstd_is_taken(tmp_path):
    text = b"".join(
        b"line %d of a text that repeats itself\n" % (number * number % 977) for number in range(40_000)
    )
    source = written(tmp_path / "model", {"tokenizer.json": text})
    sizes = [packed(source, tmp_path / str(level), level=level).packed_size for level in (None, 1, 19)]
    assert sizes[2] < sizes[0]
    assert len(set(sizes)) == 3
    assert restored_by_zstd(tmp_path / "19" / "tokenizer.json.zst") == text


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "holds no files"),
        ({ARCHIVE_NAME: b"{}"}, "is an archive already"),
        ({"UNFINISHED.txt": b"", "a": b""}, "unfinished"),
        ({"a.safetensors": b"", "a.safetensors.zst/b": b""}, "same place"),
        ({"a:b": b""}, "plain relative path"),
        ({"a\udcff": b""}, "isn't UTF-8"),
    ],
)
def test_what_can_not_be_packed_is_refused(tmp_path, files, reason):
    (tmp_path / "model").mkdir()
    with pytest.raises(UsageError, match=reason):
        packed(written(tmp_path / "model", files), tmp_path / "archive")
    assert not (tmp_path / "archive").exists()


def test_links_are_followed_to_files_and_not_to_folders(tmp_path):
    """A snapshot of the Hub's cache is links."""
    written(tmp_path, {"blobs/1": b"{}", "elsewhere/x": b"x"})
    written(tmp_path / "model", {".git/config": b"", ".gitattributes": b"*", "real": b"1"})
    (tmp_path / "model" / "config.json").symlink_to("../blobs/1")
    (tmp_path / "model" / "folder").symlink_to("../elsewhere")
    packed(tmp_path / "model", tmp_path / "archive")
    unpacked(tmp_path / "archive", tmp_path / "out")
    assert tree(tmp_path / "out") == {"config.json": b"{}", ".gitattributes": b"*", "real": b"1"}


def test_a_plain_archive_is_the_files_in_their_order_for_any_reader(tmp_path):
    """Not only for seekable readers: the frames lie in the order of their bytes."""
    raw = noise(300_000)
    packed(written(tmp_path / "model", {"a.safetensors": raw}), tmp_path / "archive")
    data = (tmp_path / "archive" / "a.safetensors.zst").read_bytes()
    assert zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read(1000) == raw[:1000]
