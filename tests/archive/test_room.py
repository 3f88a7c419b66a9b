"""What surely won't fit is refused before anything is begun, and nothing else is."""

import pytest

from distexpand.api import run_plan
from distexpand.archive import room
from distexpand.errors import StorageError
from distexpand.formats.archive_index import Form
from tests.api.small import small_model, small_plan, tree
from tests.storage.contract import noise
from tests.support.archives import packed, unpacked, written


@pytest.fixture
def free(monkeypatch):
    """Say how much is free."""

    def say(free_bytes):
        monkeypatch.setattr(room, "free_disk", lambda _: free_bytes)

    return say


@pytest.mark.parametrize("form", Form)
def test_noise_needs_its_size_and_text_less(tmp_path, free, form):
    for name, raw, needed in [("noise", noise(3_000_000), 3_000_000), ("zeros", bytes(3_000_000), 3000)]:
        source = written(tmp_path / name, {"model.safetensors": raw})
        free(needed * 2 // 3)
        if name == "noise":
            with pytest.raises(StorageError, match=r"needs .* bytes of disk, 2,000,000 are free"):
                packed(source, tmp_path / f"{name}-archive", form)
            assert not (tmp_path / f"{name}-archive").exists()
        else:
            packed(source, tmp_path / f"{name}-archive", form)


def test_what_is_unpacked_needs_its_size(tmp_path, free):
    source = written(tmp_path / "model", {"model.safetensors": bytes(3_000_000), "config.json": b"{}"})
    packed(source, tmp_path / "archive")
    free(3_000_001)
    with pytest.raises(StorageError, match="needs 3,000,002 bytes of disk, 3,000,001 are free"):
        unpacked(tmp_path / "archive", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    free(3_000_002)
    unpacked(tmp_path / "archive", tmp_path / "out")
    assert tree(tmp_path / "out") == tree(source)


def test_equal_tensors_that_a_manifest_tells_of_need_nothing(tmp_path, free):
    model = small_model(tmp_path / "a", hidden_size=64, intermediate_size=512, num_layers=2)
    plan = small_plan("{model: a, layer_map: [[0, 2], [0, 2], [0, 2], [0, 2], [0, 2], [0, 2]]}", model)
    run_plan(plan, tmp_path / "expanded")
    size = sum(map(len, tree(tmp_path / "expanded").values()))
    archived = packed(tmp_path / "expanded", tmp_path / "unlimited", Form.DENSE).packed_size
    free(size // 3)
    assert archived < size // 3
    packed(tmp_path / "expanded", tmp_path / "dense", Form.DENSE)
    with pytest.raises(StorageError, match="bytes of disk"):
        packed(tmp_path / "expanded", tmp_path / "plain", Form.PLAIN)
