"""What the table of residual outputs claims, proven on real models: an identity copy changes no logit."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

from safetensors.torch import load_file, save_file  # noqa: E402

from distexpand.architecture.config.remap import LayerConfig, config_level, remap_config  # noqa: E402
from distexpand.architecture.residual.identity import identity_values  # noqa: E402
from distexpand.architecture.stacks.stack import find_layer_stack  # noqa: E402
from distexpand.errors import ArchitectureError  # noqa: E402
from distexpand.formats.dtypes import DType  # noqa: E402
from tests.architecture.families import FAMILIES, logits, read_config, save_tiny  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def with_identity_copies(source: Path, output: Path) -> None:
    """Write the model with each layer followed by a copy of it whose residual outputs are zero."""
    tensors, config = load_file(source / "model.safetensors"), read_config(source)
    stack = find_layer_stack(tensors, config, origin="model")
    assert stack.num_layers == 3
    order = [index for index in range(stack.num_layers) for _ in range(2)]
    expanded = {name: value for name, value in tensors.items() if stack.split(name) is None}
    for position, index in enumerate(order):
        places = {name: stack.split(name) for name in tensors}
        layer = {place[1]: tensors[name] for name, place in places.items() if place and place[0] == index}
        assert layer
        dtypes = dict.fromkeys(layer, DType.F32)
        values = identity_values(dtypes, config_level(config, stack), origin=f"layer {index}")
        for suffix, value in layer.items():
            fixed = position % 2 == 1 and suffix in values
            new = torch.full_like(value, values[suffix]) if fixed else value.clone()
            expanded[stack.name(position, suffix)] = new
    layers = [LayerConfig(config=config, stack=stack, layer=index, origin="model") for index in order]
    output.mkdir()
    save_file(expanded, output / "model.safetensors", metadata={"format": "pt"})
    (output / "config.json").write_text(json.dumps(remap_config(config, stack, layers).config))


@pytest.mark.parametrize("family", FAMILIES)
def test_identity_copies_change_no_logit(tmp_path, family):
    source = save_tiny(tmp_path / "source", family)
    with_identity_copies(source, tmp_path / "output")
    assert torch.equal(logits(tmp_path / "output"), logits(source))


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("llama", {"attention_bias": True, "mlp_bias": True}),
        ("llama", {"tie_word_embeddings": True}),
        ("falcon", {"bias": True, "parallel_attn": False, "alibi": True}),
        ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
        ("gpt_neox", {"use_parallel_residual": False}),
        ("stablelm", {"use_parallel_residual": True}),
        ("gpt_neox", {"attention_bias": False}),
    ],
    ids=str,
)
def test_variants_of_a_family(tmp_path, family, changes):
    source = save_tiny(tmp_path / "source", family, **changes)
    with_identity_copies(source, tmp_path / "output")
    assert torch.equal(logits(tmp_path / "output"), logits(source))


@pytest.mark.parametrize(
    ("family", "changes", "reason"),
    [
        ("opt", {"do_layer_norm_before": False}, "normalises or scales the residual stream"),
        ("bloom", {"apply_residual_connection_post_layernorm": True}, "normalises or scales the residual"),
        ("bert", {"is_decoder": True}, "normalises or scales the residual stream"),
        ("openai-gpt", {}, "normalises or scales the residual stream"),
    ],
    ids=str,
)
def test_blocks_that_are_no_identity_are_refused_with_the_reason(tmp_path, family, changes, reason):
    source = save_tiny(tmp_path / "source", family, **changes)
    with pytest.raises(ArchitectureError, match=reason):
        with_identity_copies(source, tmp_path / "output")
