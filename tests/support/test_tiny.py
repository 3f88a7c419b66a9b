"""Every kind of tiny checkpoint loads whole, is random throughout and follows its seed."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
transformers = pytest.importorskip(
    "transformers", reason="needs transformers: pip install 'distexpand[load]'"
)

from safetensors.torch import load_file  # noqa: E402

from tests.support.tiny import KINDS, plant_malicious_pickle, tiny_checkpoint, to_bin  # noqa: E402


def _tensors(directory: Path) -> dict:
    return {key: value for path in directory.glob("*.safetensors") for key, value in load_file(path).items()}


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoint_loads_whole_and_is_random_throughout(tmp_path: Path, kind: str) -> None:
    one = tiny_checkpoint(tmp_path / "one", kind, seed=1, max_shard_size="100KB")
    _, loading = transformers.AutoModelForCausalLM.from_pretrained(one, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert not loading["mismatched_keys"]
    tensors = _tensors(one)
    assert all(len(value.unique()) > 10 for value in tensors.values())
    same = _tensors(tiny_checkpoint(tmp_path / "same", kind, seed=1))
    assert all(torch.equal(value, same[key]) for key, value in tensors.items())
    assert (one / "model.safetensors.index.json").is_file()
    assert not (tmp_path / "same" / "model.safetensors.index.json").exists()


@pytest.mark.parametrize(("kind", "tied"), [("llama", False), ("llama-tied", True), ("mistral-tied", True)])
def test_tied_kinds_have_no_head(tmp_path: Path, kind: str, tied: bool) -> None:
    assert ("lm_head.weight" not in _tensors(tiny_checkpoint(tmp_path, kind))) is tied


@pytest.mark.parametrize("kind", ["qwen2", "gemma2", "gemma3"])
def test_layer_types_differ_along_the_stack(tmp_path: Path, kind: str) -> None:
    config = json.loads((tiny_checkpoint(tmp_path, kind, num_layers=5) / "config.json").read_text())
    assert len(config["layer_types"]) == 5
    assert set(config["layer_types"]) == {"sliding_attention", "full_attention"}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("max_shard_size", ["100KB", "5GB"])
def test_bin_variants_hold_the_same_tensors(tmp_path: Path, legacy: bool, max_shard_size: str) -> None:
    source = tiny_checkpoint(tmp_path / "source", "qwen2", max_shard_size=max_shard_size)
    binary = to_bin(source, tmp_path / "bin", legacy=legacy)
    shards = sorted(binary.glob("pytorch_model*.bin"))
    assert (binary / "pytorch_model.bin.index.json").exists() is (len(shards) > 1)
    assert all(shard.read_bytes().startswith(b"PK") is not legacy for shard in shards)
    found = {key: value for shard in shards for key, value in torch.load(shard, weights_only=True).items()}
    expected = _tensors(source)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


@pytest.mark.parametrize("legacy", [False, True])
def test_malicious_pickle_would_run_code_and_is_refused_by_weights_only(tmp_path: Path, legacy: bool) -> None:
    binary = to_bin(tiny_checkpoint(tmp_path / "source", "llama"), tmp_path / "bin", legacy=legacy)
    marker = tmp_path / "code-ran"
    plant_malicious_pickle(binary / "pytorch_model.bin", marker, legacy=legacy)
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(binary / "pytorch_model.bin", weights_only=True)
    assert not marker.exists()
    torch.load(binary / "pytorch_model.bin", weights_only=False)
    assert marker.is_dir()
