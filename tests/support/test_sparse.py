"""The written checkpoints are what the Hub's libraries write and read."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.shapes import family
from tests.support.sparse import write_checkpoint


def test_a_70b_checkpoint_of_holes_takes_little_room(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "llama2-70b")
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert sum(path.stat().st_size for path in shards) > family("llama2-70b").total_bytes
    assert sum(path.stat().st_blocks * 512 for path in tmp_path.iterdir()) < 2**20
    assert [path.name for path in shards][-1] == f"model-{len(shards):05d}-of-{len(shards):05d}.safetensors"
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == {name for name, _ in family("llama2-70b").tensors}
    assert set(index["weight_map"].values()) == {path.name for path in shards}


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_random_values_are_finite_and_depend_on_the_seed(tmp_path: Path, dtype: str) -> None:
    tiny = family(
        "llama2-7b", num_layers=2, dtype=dtype, hidden_size=64, intermediate_size=160, vocab_size=99
    )
    one, same, other = (
        write_checkpoint(tmp_path / name, tiny, fill="random", seed=seed, shard_size=50_000)
        for name, seed in (("one", 1), ("same", 1), ("other", 2))
    )
    names = sorted(path.name for path in one.iterdir())
    assert len(names) > 6
    assert all((one / name).read_bytes() == (same / name).read_bytes() for name in names)
    shards = [name for name in names if name.endswith(".safetensors")]
    assert all((one / name).read_bytes() != (other / name).read_bytes() for name in shards)
    for name in shards:
        values = _values((one / name).read_bytes(), dtype)
        assert np.isfinite(values).all()
        assert 2**-8 < np.abs(values).mean() < 1


def _values(raw: bytes, dtype: str) -> np.ndarray:
    data = raw[8 + int.from_bytes(raw[:8], "little") :]
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(data, "<f2" if dtype == "F16" else "<f4")


@pytest.mark.parametrize("shard_size", [50_000, 5 * 10**9])
def test_shards_are_those_of_the_hub_client(tmp_path: Path, shard_size: int) -> None:
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'distexpand[load]'")
    hub = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub")
    safetensors = pytest.importorskip("safetensors.torch", reason="needs safetensors")
    tiny = family("llama2-7b", num_layers=3, hidden_size=64, intermediate_size=160, vocab_size=999)
    write_checkpoint(tmp_path, tiny, shard_size=shard_size)
    state = {name: torch.zeros(shape, dtype=torch.float16) for name, shape in tiny.tensors}
    split = hub.split_torch_state_dict_into_shards(state, max_shard_size=shard_size)
    for name, tensors in split.filename_to_tensors.items():
        expected = safetensors.save({key: state[key] for key in tensors}, metadata={"format": "pt"})
        assert (tmp_path / name).read_bytes() == expected
    if split.is_sharded:
        index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
        assert index["weight_map"] == split.tensor_to_filename
        assert index["metadata"]["total_size"] == split.metadata["total_size"]
