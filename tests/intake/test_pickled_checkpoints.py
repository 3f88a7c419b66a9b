"""Old `.bin` checkpoints: byte ranges that are torch's own tensors, and pickles that are never run."""

import collections
import io
import json
import pickle
import tarfile
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")

from distexpand.errors import CheckpointError, DistexpandError  # noqa: E402
from distexpand.intake.checkpoint import read_checkpoint  # noqa: E402
from distexpand.intake.pickled import read_pickled  # noqa: E402
from distexpand.recipe.canonical import ModelRef  # noqa: E402
from distexpand.storage.local.directories import LocalSource  # noqa: E402
from tests.intake.closed_files import compute_pin  # noqa: E402

NAME = "pytorch_model.bin"
DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
DTYPES += ["float8_e4m3fn", "float8_e5m2"]


def read(directory):
    return {entry.name: entry for entry in read_pickled(LocalSource(directory), NAME)[0]}


def bytes_of(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def refused(directory, match):
    with pytest.raises(CheckpointError, match=match) as error:
        read(directory)
    assert f"{directory}/{NAME}" in error.value.message
    return error.value


def assert_same_bytes(directory):
    raw = (directory / NAME).read_bytes()
    loaded = torch.load(directory / NAME, weights_only=True, mmap=True)
    entries = read(directory)
    assert entries.keys() == loaded.keys()
    for name, entry in entries.items():
        assert entry.shape == tuple(loaded[name].shape)
        assert raw[entry.offset : entry.offset + entry.length] == bytes_of(loaded[name])


def test_every_dtype_and_shape(tmp_path):
    state = {
        f"{d}.{s}": torch.zeros(s).random_(0, 2).to(getattr(torch, d))
        for d in DTYPES
        for s in [(), (3,), (2, 3), (0, 4)]
    }
    torch.save(state, tmp_path / NAME)
    assert_same_bytes(tmp_path)


def test_shared_storages_views_and_parameters(tmp_path):
    weight = torch.randn(6, 4)
    state = collections.OrderedDict(
        weight=weight,
        tied=weight,
        row=weight[2],
        rows=weight[1:4],
        parameter=torch.nn.Parameter(torch.randn(3)),
    )
    state._metadata = {"": {"version": 1}}
    torch.save(state, tmp_path / NAME)
    assert_same_bytes(tmp_path)
    entries = read(tmp_path)
    assert entries["weight"].offset == entries["tied"].offset


def test_state_of_a_real_module(tmp_path):
    torch.save(torch.nn.TransformerEncoderLayer(8, 2).state_dict(), tmp_path / NAME)
    assert_same_bytes(tmp_path)


@pytest.mark.parametrize("max_shard_size", ["5GB", "60KB"])
@pytest.mark.parametrize("kind", ["llama-tied", "gpt2"])
def test_bin_and_safetensors_are_one_catalog(tmp_path, kind, max_shard_size):
    pytest.importorskip("transformers")
    from tests.support.tiny import tiny_checkpoint, to_bin  # noqa: PLC0415

    source = tiny_checkpoint(tmp_path / "source", kind, max_shard_size=max_shard_size)
    binary = to_bin(source, tmp_path / "bin")
    one, two = (read_checkpoint(ModelRef(name="m"), LocalSource(d)) for d in (source, binary))
    assert one.catalog.tensors.keys() == two.catalog.tensors.keys()
    assert (len(one.catalog.files) > 1) is (max_shard_size == "60KB")
    for name, left in one.catalog.tensors.items():
        right = two.catalog.tensors[name]
        assert (left.dtype, left.shape) == (right.dtype, right.shape)
        values = [
            (folder / entry.file).read_bytes()[entry.offset : entry.offset + entry.length]
            for folder, entry in ((source, left), (binary, right))
        ]
        assert values[0] == values[1]
    assert not any(file.name.endswith((".bin", ".index.json")) for file in two.side_files)
    for name, file in two.catalog.files.items():
        assert compute_pin(LocalSource(binary), name) == file.pin


def test_bin_index_is_checked_like_the_other(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "one.bin")
    (tmp_path / "config.json").write_text("{}")
    for entries, match in (
        ({"a": "one.bin", "b": "one.bin"}, "no shard has it"),
        ({"a": "two.bin"}, "isn't there"),
        ({"a": "../one.bin"}, "not a plain file name"),
        ({"a": "one.safetensors"}, "not a .bin file"),
    ):
        (tmp_path / f"{NAME}.index.json").write_text(json.dumps({"weight_map": entries}))
        with pytest.raises(CheckpointError, match=match):
            read_checkpoint(ModelRef(name="m"), LocalSource(tmp_path))


@pytest.mark.parametrize(
    "value",
    [
        torch.randn(4, 6).t(),
        torch.randn(8)[::2],
        torch.randn(1, 3).expand(2, 3),
        torch.randn(3, dtype=torch.complex64),
        torch.randn(2, 3, dtype=torch.complex64).conj().imag,
        torch.eye(3).to_sparse(),
    ],
    ids=["transposed", "strided", "expanded", "complex", "negated", "sparse"],
)
@pytest.mark.filterwarnings("ignore")
def test_tensor_that_is_no_plain_range(tmp_path, value):
    torch.save({"fine": torch.zeros(1), "odd": value}, tmp_path / NAME)
    refused(tmp_path, "odd|refused")


@pytest.mark.parametrize(
    ("state", "match"),
    [
        ([torch.zeros(1)], "expected tensors by name, found list"),
        (torch.zeros(1), "expected tensors by name"),
        ({"state_dict": {"a": torch.zeros(1)}}, "entry 'state_dict' is not a tensor"),
        ({"epoch": 3}, "entry 'epoch' is not a tensor"),
        ({1: torch.zeros(1)}, "entry 1 is not a tensor"),
    ],
    ids=str,
)
def test_what_is_no_state_dict(tmp_path, state, match):
    torch.save(state, tmp_path / NAME)
    refused(tmp_path, match)


class Payload:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("legacy", [False, True])
def test_pickle_that_runs_code_is_refused_without_running_it(tmp_path, legacy):
    marker = tmp_path / "code-ran"
    state = {"weight": torch.zeros(3), "payload": Payload(open, str(marker), "w")}
    torch.save(state, tmp_path / NAME, _use_new_zipfile_serialization=not legacy)
    refused(tmp_path, "zip format" if legacy else "refused")
    assert not marker.exists()
    with pytest.raises(CheckpointError) if legacy else pytest.MonkeyPatch.context():
        compute_pin(LocalSource(tmp_path), NAME)
    assert not marker.exists()
    torch.load(tmp_path / NAME, weights_only=False)["payload"].close()
    assert marker.exists()


def test_bare_pickle_is_refused_without_running_it(tmp_path):
    marker = tmp_path / "code-ran"
    (tmp_path / NAME).write_bytes(pickle.dumps(Payload(open, str(marker), "w")))
    refused(tmp_path, "zip format")
    assert not marker.exists()


def legacy_zip(path):
    torch.save({"a": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)


def legacy_tar(path):
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("pickle")
        archive.addfile(info, io.BytesIO())


def other_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing here")


@pytest.mark.parametrize(
    "write",
    [
        legacy_zip,
        legacy_tar,
        other_zip,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)),
        lambda path: path.write_bytes(b"PK\x05\x06" + bytes(18)),
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1"),
    ],
    ids=["before 1.6", "tar", "other zip", "empty", "zip's start", "empty zip", "LFS pointer"],
)
def test_other_files_are_refused_with_advice(tmp_path, write):
    write(tmp_path / NAME)
    assert "safetensors" in refused(tmp_path, "not a checkpoint in torch's zip format").hint


def rewrite(path, change, compression=zipfile.ZIP_STORED):
    """Write the archive again, its records changed by `change`."""
    with zipfile.ZipFile(path) as archive:
        records = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, raw in records:
            new = change(name, raw)
            if new is not None:
                archive.writestr(name, new)


@pytest.fixture
def weights(tmp_path):
    torch.save({"weight": torch.arange(1000.0), "other": torch.ones(10)}, tmp_path / NAME)
    return tmp_path


def test_zipped_again_without_compression_is_fine(weights):
    rewrite(weights / NAME, lambda _, raw: raw)
    assert_same_bytes(weights)


def test_records_in_another_order(tmp_path):
    """Equal sizes: an offset that is calculated instead of looked up would be another tensor's."""
    torch.save({str(index): torch.full((16,), float(index)) for index in range(6)}, tmp_path / NAME)
    with zipfile.ZipFile(tmp_path / NAME) as archive:
        records = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(tmp_path / NAME, "w") as archive:
        for name, raw in sorted(
            records, key=lambda record: record[0].translate({ord("2"): "5", ord("5"): "2"})
        ):
            archive.writestr(name, raw)
    assert_same_bytes(tmp_path)


def test_record_twice(weights):
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(weights / NAME, "a") as archive:
        archive.writestr(next(name for name in archive.namelist() if name.endswith("/data/0")), bytes(4000))
    refused(weights, "zip format")


def test_compressed_archive(weights):
    rewrite(weights / NAME, lambda _, raw: raw, zipfile.ZIP_DEFLATED)
    assert torch.load(weights / NAME, weights_only=True)["other"].sum() == 10  # torch itself reads it
    refused(weights, "compressed")


def test_big_endian_archive(weights):
    rewrite(weights / NAME, lambda name, raw: b"big" if name.endswith("/byteorder") else raw)
    refused(weights, "byte order other than little-endian")


def test_storage_beyond_its_record(weights):
    rewrite(weights / NAME, lambda name, raw: raw[:100] if name.endswith("/data/0") else raw)
    refused(weights, "'weight' goes beyond its record|refused")


def test_missing_record(weights):
    rewrite(weights / NAME, lambda name, raw: None if name.endswith("/data/1") else raw)
    refused(weights, "refused|beyond")


def test_truncated_anywhere(weights):
    raw = (weights / NAME).read_bytes()
    for size in range(0, len(raw), 97):
        (weights / NAME).write_bytes(raw[:size])
        refused(weights, "zip format")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_changed_bytes(weights, data):
    path = weights / "changed"
    path.mkdir(exist_ok=True)
    raw = bytearray((weights / NAME).read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (path / NAME).write_bytes(raw)
    try:
        entries = read(path)
    except DistexpandError:
        return
    assert all(0 < entry.offset <= entry.offset + entry.length <= len(raw) for entry in entries.values())
