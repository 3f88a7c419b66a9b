"""The layer stack is found by structure: on real models' names, and never on hostile ones by accident."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.architecture.stacks.stack import LayerStack, find_layer_stack
from distexpand.errors import ArchitectureError


def names(prefix, count, suffix="w"):
    return [f"{prefix}{index}.{suffix}" for index in range(count)]


def found(tensors, config):
    stack = find_layer_stack(tensors, config, origin="model")
    return stack.prefix, stack.num_layers, stack.count_path


REAL = [
    ("llama", {}, "model.layers.", 3, ("num_hidden_layers",)),
    ("gpt2", {"n_layer": 3}, "transformer.h.", 3, ("n_layer",)),
    ("gpt_neox", {"num_hidden_layers": 3}, "gpt_neox.layers.", 3, ("num_hidden_layers",)),
    ("opt", {}, "model.decoder.layers.", 3, ("num_hidden_layers",)),
    ("bloom", {"n_layer": 3}, "transformer.h.", 3, ("n_layer",)),
    ("mpt", {"n_layers": 3}, "transformer.blocks.", 3, ("n_layers",)),
    (
        "gpt_neo",
        {"num_layers": 4, "attention_types": [[["global", "local"], 2]]},
        "transformer.h.",
        4,
        ("num_layers",),
    ),
    ("xglm", {"num_layers": 3}, "model.layers.", 3, ("num_layers",)),
    ("mixtral", {"num_local_experts": 3}, "model.layers.", 3, ("num_hidden_layers",)),
    ("qwen2_moe", {"num_experts": 3}, "model.layers.", 3, ("num_hidden_layers",)),
    ("mamba", {"num_hidden_layers": 3}, "backbone.layers.", 3, ("num_hidden_layers",)),
    ("rwkv", {"num_hidden_layers": 3}, "rwkv.blocks.", 3, ("num_hidden_layers",)),
]
TEXT = {"num_hidden_layers": 3}
VISION = {"num_hidden_layers": 3, "depth": 3, "hidden_size": 32, "num_heads": 4, "num_attention_heads": 4}
MULTIMODAL = ["llava", "gemma3", "qwen2_vl", "mistral3", "paligemma", "internvl"]


@pytest.mark.parametrize(("model_type", "changes", "prefix", "count", "path"), REAL, ids=[r[0] for r in REAL])
def test_real_models_on_the_meta_device(model_type, changes, prefix, count, path):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    small = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 64}
    layers = (
        changes
        if set(changes) & {"n_layer", "n_layers", "num_layers"}
        else {"num_hidden_layers": 3, **changes}
    )
    own_sizes = model_type in {"gpt2", "mpt", "bloom", "gpt_neo", "xglm"}
    config = transformers.AutoConfig.for_model(model_type, **({} if own_sizes else small), **layers)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    assert found(model.state_dict(), config.to_dict()) == (prefix, count, path)


@pytest.mark.parametrize("model_type", MULTIMODAL)
@pytest.mark.filterwarnings("ignore")
def test_language_model_is_found_beside_a_tower_of_the_same_depth(model_type):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    default = transformers.AutoConfig.for_model(model_type)
    parts = {"text_config": default.text_config.to_dict(), "vision_config": default.vision_config.to_dict()}
    for part in parts.values():
        part.pop("layer_types", None)
        part |= {key: 3 for key in ("num_hidden_layers", "depth") if key in part}
    config = transformers.AutoConfig.for_model(model_type, **parts)
    with torch.device("meta"):
        model = transformers.AutoModelForImageTextToText.from_config(config)
    prefix, count, path = found(model.state_dict(), config.to_dict())
    assert (count, path) == (3, ("text_config", "num_hidden_layers"))
    assert "language_model" in prefix
    assert not any(word in prefix for word in ("vision", "visual"))


@pytest.mark.parametrize(("encoder", "decoder"), [(3, 3), (2, 4)])
@pytest.mark.parametrize("model_type", ["t5", "bart"])
def test_encoder_decoder_means_the_decoder_unless_the_encoder_is_named(model_type, encoder, decoder):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    keys = (
        ("num_layers", "num_decoder_layers") if model_type == "t5" else ("encoder_layers", "decoder_layers")
    )
    config = transformers.AutoConfig.for_model(model_type, **dict(zip(keys, (encoder, decoder), strict=True)))
    with torch.device("meta"):
        model = transformers.AutoModelForSeq2SeqLM.from_config(config)
    prefix, count, path = found(model.state_dict(), config.to_dict())
    assert (count, path) == (decoder, keys[1:])
    assert "decoder" in prefix
    named = find_layer_stack(model.state_dict(), config.to_dict(), origin="model", wanted="encoder")
    assert (named.num_layers, named.count_paths) == (encoder, (keys[:1],))
    assert "encoder" in named.prefix


def test_published_gpt2_has_no_transformer_in_its_names():
    assert found([*names("h.", 12), "wte.weight", "ln_f.weight"], {"n_layer": 12}) == ("h.", 12, ("n_layer",))


def test_experts_as_many_as_layers_are_no_layers():
    tensors = [f"model.layers.{i}.mlp.experts.{e}.up.weight" for i in range(4) for e in range(4)]
    assert found(tensors, {"num_hidden_layers": 4}) == ("model.layers.", 4, ("num_hidden_layers",))


def test_the_nested_count_is_the_one_that_is_read():
    config = {"num_hidden_layers": 2, "text_config": {"num_hidden_layers": 2}}
    assert found(names("model.layers.", 2), config)[2] == ("text_config", "num_hidden_layers")


@pytest.mark.parametrize(
    ("tensors", "config", "said"),
    [
        ([], {}, "runs found: none; counts found: none"),
        (names("model.layers.", 3), {}, "model.layers.0..2; counts found: none"),
        (names("model.layers.", 3), {"num_hidden_layers": 4}, "num_hidden_layers = 4"),
        (names("model.layers.", 3)[1:], {"num_hidden_layers": 2}, "no run"),
        (names("model.layers.", 3)[::2], {"num_hidden_layers": 2}, "no run"),
        (names("model.layers.", 3), {"num_hidden_layers": 10**18}, "no run"),
        (names("model.layers.", 3), {"num_hidden_layers": 3.0}, "counts found: none"),
        (names("model.layers.", 1), {"num_hidden_layers": True}, "counts found: none"),
        (names("model.layers.", 3), {"num_hidden_layers": "3"}, "counts found: none"),
        (names("model.layers.", 3), {"num_hidden_layers": -3}, "counts found: none"),
        (names("model.layers.", 3), {"text_config": 3}, "counts found: none"),
        (["model.layers.00.w", "model.layers.1.w"], {"num_hidden_layers": 2}, "no run"),
        (["model.layers.0.w", "model.layers.\u0661.w"], {"num_hidden_layers": 2}, "no run"),
        (["model.layers.0.w", f"model.layers.{'9' * 5000}.w"], {"num_hidden_layers": 2}, "no run"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_no_stack(tensors, config, said):
    with pytest.raises(ArchitectureError, match=said):
        found(tensors, config)


def test_more_layers_than_counted_are_named_as_the_reason():
    with pytest.raises(ArchitectureError) as error:
        found(names("model.layers.", 5), {"num_hidden_layers": 3, "num_nextn_predict_layers": 1})
    assert "multi-token prediction" in error.value.hint


@given(st.integers(1, 50), st.integers(0, 2000), st.text(min_size=1, max_size=10))
def test_split_undoes_name(count, layer, suffix):
    stack = LayerStack(prefix="model.layers.", num_layers=count, count_path=("num_hidden_layers",))
    assert stack.split(stack.name(layer, suffix)) == (layer, suffix)


@given(st.text("layers.0123٣²\n"))
def test_split_is_found_or_not_but_never_fails(name):
    stack = LayerStack(prefix="layers.", num_layers=3, count_path=("n_layer",))
    place = stack.split(name)
    if place is not None:
        assert stack.name(*place) == name


@given(
    st.dictionaries(
        st.sampled_from(["num_hidden_layers", "text_config", "n_layer"]),
        st.recursive(
            st.integers() | st.none() | st.text(),
            lambda x: st.dictionaries(st.just("n_layer"), x) | st.lists(x),
        ),
    ),
    st.lists(st.text("ab.012")),
)
def test_any_names_and_config(config, tensors):
    try:
        stack = find_layer_stack(tensors, config, origin="model")
    except ArchitectureError as error:
        assert error.message.startswith("model: ")  # noqa: PT017  # either way is right
        return
    layers = {index for index, _ in filter(None, map(stack.split, tensors))}
    assert layers == set(range(stack.num_layers + stack.beyond))
