"""A recipe's model in memory says what the written one says, in the memory of its source."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
transformers = pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

import distexpand  # noqa: E402
from distexpand.errors import RecipeError, UsageError  # noqa: E402
from tests.running.real_models import TOKENS, answers, expanded, loaded, saved  # noqa: E402

STACK = "{model: a, layer_map: [[0, 4], [2, 6]]}"
BLOCKS = "{model: a, block_expansion: {blocks: 3, where: interleaved}}"
SCALED = """
slices:
- sources: [{model: a, layer_range: [0, 4]}]
- sources: [{model: a, layer_range: [2, 6], parameters: {scale: [{filter: up_proj, value: 0.5}, {value: 1}]}}]
merge_method: passthrough
"""
PAIRS = """
slices:
- sources: [{model: a, layer_range: [0, 6]}]
- sources: [{model: a, layer_range: [0, 6]}]
merge_method: passthrough
"""
CASES = [
    ("llama", STACK),
    ("llama", BLOCKS),
    ("llama", SCALED),
    ("gpt2", STACK),
    ("qwen3_moe", STACK),
    ("mixtral", BLOCKS),
    ("gemma3_text", PAIRS),
    ("zamba2", PAIRS),
    ("falcon_h1", STACK),
    ("mamba2", BLOCKS),
]
"""Plain layers, mixtures of experts, windows by layer type, hybrids with a state beside a cache."""


def _generated(model: Any) -> Any:
    """Return 50 tokens after a prompt, greedily, with a cache."""
    with torch.inference_mode():
        return model.generate(
            TOKENS,
            attention_mask=torch.ones_like(TOKENS),
            max_new_tokens=50,
            min_new_tokens=50,
            do_sample=False,
        )


@pytest.mark.parametrize(("model_type", "recipe"), CASES)
def test_it_says_and_generates_what_the_written_model_does(
    tmp_path: Path, model_type: str, recipe: str
) -> None:
    source = saved(tmp_path / "a", model_type)
    virtual = distexpand.load_virtual(recipe, models={"a": str(source)})
    written = loaded(expanded(recipe, source, tmp_path / "out"))
    assert type(virtual) is type(written)
    assert virtual.config.to_diff_dict().keys() == written.config.to_diff_dict().keys()
    assert torch.equal(answers(virtual), answers(written))
    assert torch.equal(_generated(virtual), _generated(written))


def _elements(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("model_type", ["llama", "mixtral"])
def test_copies_share_their_parameters(tmp_path: Path, model_type: str) -> None:
    source = saved(tmp_path / "a", model_type)
    places = {"a": str(source)}
    original = loaded(source)
    assert _elements(distexpand.load_virtual(STACK, models=places)) == _elements(original)
    virtual = distexpand.load_virtual(BLOCKS, models=places)
    # of an identity block only the residual outputs are new, and those of all blocks are the same zeros
    zeros = [weight for weight in virtual.parameters() if not weight.any() and weight.dim() > 1]
    assert _elements(virtual) == _elements(original) + sum(weight.numel() for weight in zeros)
    assert len(zeros) == 2


def test_each_copy_has_its_own_place_in_a_cache(tmp_path: Path) -> None:
    source = saved(tmp_path / "a", "llama")
    virtual = distexpand.load_virtual(STACK, models={"a": str(source)})
    layers = virtual.model.layers
    assert [layer.self_attn.layer_idx for layer in layers] == list(range(8))
    assert layers[2].mlp.up_proj.weight is layers[4].mlp.up_proj.weight
    with torch.inference_mode():
        cache = virtual(TOKENS, use_cache=True).past_key_values
    assert len(cache.layers) == 8
    assert not torch.equal(cache.layers[2].keys, cache.layers[4].keys)


def test_what_a_model_does_to_its_weights_never_reaches_the_source(tmp_path: Path) -> None:
    source = saved(tmp_path / "a", "llama")
    before = (source / "model.safetensors").read_bytes()
    virtual = distexpand.load_virtual(STACK, models={"a": str(source)})
    with torch.no_grad():
        for parameter in virtual.parameters():
            parameter.zero_()
    assert not answers(virtual).any()
    assert (source / "model.safetensors").read_bytes() == before


def test_another_dtype_is_what_loading_in_it_gives(tmp_path: Path) -> None:
    source = saved(tmp_path / "a", "llama")
    virtual = distexpand.load_virtual(STACK, models={"a": str(source)}, dtype="float32")
    assert virtual.dtype is torch.float32
    assert _elements(virtual) == _elements(loaded(source))
    written = transformers.AutoModelForCausalLM.from_pretrained(
        expanded(STACK, source, tmp_path / "out"), dtype=torch.float32
    )
    assert torch.equal(answers(virtual), answers(written.eval()))


def test_two_sources_in_one_model(tmp_path: Path) -> None:
    one, other = saved(tmp_path / "a", "llama"), saved(tmp_path / "b", "llama", seed=1)
    recipe = (
        "slices:\n- sources: [{model: a, layer_range: [0, 4]}]\n"
        "- sources: [{model: b, layer_range: [2, 6]}]\nmerge_method: passthrough\n"
    )
    virtual = distexpand.load_virtual(recipe, models={"a": str(one), "b": str(other)})
    assert torch.equal(
        virtual.model.layers[7].mlp.up_proj.weight, loaded(other).model.layers[5].mlp.up_proj.weight
    )
    assert torch.equal(
        virtual.model.layers[3].mlp.up_proj.weight, loaded(one).model.layers[3].mlp.up_proj.weight
    )


def test_a_recipe_may_be_a_file(tmp_path: Path) -> None:
    saved(tmp_path / "a", "llama")
    file = tmp_path / "recipe.yml"
    file.write_text(STACK)
    virtual = distexpand.load_virtual(file, models={"a": str(tmp_path / "a")})
    assert virtual.config.num_hidden_layers == 8
    assert virtual.config.name_or_path == str(file)
    with pytest.raises(UsageError, match="can't read the recipe"):
        distexpand.load_virtual(tmp_path / "other.yml")
    with pytest.raises(RecipeError):
        distexpand.load_virtual("{model: a}\n")


def test_a_recipe_is_loaded_from_all_that_a_plan_is_made_of(tmp_path: Path) -> None:
    source = saved(tmp_path / "a", "llama")
    written = answers(distexpand.load_virtual(STACK, models={"a": source}))
    planned = distexpand.plan(STACK, models={"a": source})
    distexpand.save_plan(planned, tmp_path / "kept.plan")
    for virtual in (
        distexpand.load_virtual(planned),
        distexpand.load_virtual(tmp_path / "kept.plan"),
        distexpand.load_virtual({"layer_map": [[0, 4], [2, 6]]}, model=source),
    ):
        assert torch.equal(answers(virtual), written)
    with pytest.raises(UsageError, match="models has no meaning with a plan"):
        distexpand.load_virtual(planned, models={"a": source})
