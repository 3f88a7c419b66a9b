"""Tiny models of transformers, expanded in what makes them unusual: loaded, and compared bit for bit."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from safetensors.torch import load_file, save_file  # noqa: E402

from distexpand.api import inspect_model, plan_expansion, run_plan, verify_output  # noqa: E402
from tests.support.architectures import write_tiny  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


def expanded(recipe, model, output):
    text = json.dumps({"merge_method": "passthrough", **recipe} if "model" not in recipe else recipe)
    planned = plan_expansion(text.replace("MODEL", str(model)), origin="recipe.yml")
    run_plan(planned.plan, output, threads=1)
    assert verify_output(output, sources=True, threads=1).differences == ()
    return planned, load_file(output / "model.safetensors")


def loaded(output):
    """Return the output as its own class; nothing may be missing, unexpected or of another shape."""
    config = transformers.AutoConfig.from_pretrained(output)
    known = getattr(transformers, config.architectures[0])
    model, problems = known.from_pretrained(output, output_loading_info=True, dtype=torch.float32)
    assert {key: found for key, found in problems.items() if found} == {}
    return model.eval()


def slices(*spans):
    return {"slices": [{"sources": [{"model": "MODEL", "layer_range": list(span)}]} for span in spans]}


def test_encoder_and_decoder_of_t5_in_one_recipe(tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "t5", "t5", num_layers=3, auto="seq2seq")
    modules = {"decoder": slices((1, 3), (0, 3)), "encoder": slices((0, 3), (2, 3))}
    _, made = expanded({"modules": modules}, model, tmp_path / "out")
    was = load_file(model / "model.safetensors")
    bias = "layer.0.SelfAttention.relative_attention_bias.weight"
    assert torch.equal(made[f"decoder.block.0.{bias}"], was[f"decoder.block.0.{bias}"])
    assert [name for name in made if bias in name] == [f"decoder.block.0.{bias}", f"encoder.block.0.{bias}"]
    for index, origin in enumerate([1, 2, 0, 1, 2]):
        name = "layer.1.EncDecAttention.o.weight"
        assert torch.equal(made[f"decoder.block.{index}.{name}"], was[f"decoder.block.{origin}.{name}"])
    assert torch.equal(
        made["encoder.block.3.layer.0.layer_norm.weight"], was["encoder.block.2.layer.0.layer_norm.weight"]
    )
    config = loaded(tmp_path / "out").config
    assert (config.num_layers, config.num_decoder_layers) == (4, 5)


def test_a_vision_tower_by_name_leaves_the_language_model_alone(tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "gemma3", "gemma3", num_layers=3, auto="image-text")
    recipe = {"model": "MODEL", "stack": "vision_tower", "layer_map": [[0, 2], [1, 2]]}
    planned, made = expanded(recipe, model, tmp_path / "out")
    was = load_file(model / "model.safetensors")
    assert planned.plan.layer_prefix == "vision_tower.encoder.layers."
    assert {name for name in made if "vision" not in name} == {name for name in was if "vision" not in name}
    config = loaded(tmp_path / "out").config
    assert (config.text_config.num_hidden_layers, config.vision_config.num_hidden_layers) == (3, 3)


def test_shared_blocks_of_zamba2_and_their_adapters(tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "zamba2", "zamba2", num_layers=6)
    _, made = expanded({"model": "MODEL", "layer_map": [[1, 6], [3, 6]]}, model, tmp_path / "out")
    was = load_file(model / "model.safetensors")
    adapters = "shared_transformer.feed_forward.gate_up_proj_adapter_list"
    for user, origin in enumerate([0, 1, 1]):
        name = f"{user}.1.weight"
        assert torch.equal(
            made[f"model.layers.1.{adapters}.{name}"], was[f"model.layers.2.{adapters}.{origin}.1.weight"]
        )
    assert {name.split(".")[2] for name in made if "shared_transformer" in name} == {"1"}
    assert loaded(tmp_path / "out").config.hybrid_layer_ids == [1, 4, 7]


def test_embeddings_per_layer_follow_the_layers(tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "gemma4", "gemma4_text", num_layers=4)
    planned, made = expanded({"model": "MODEL", "layer_map": [[0, 4], [2, 4]]}, model, tmp_path / "out")
    was = load_file(model / "model.safetensors")
    name = "model.embed_tokens_per_layer.weight"
    parts = was[name].chunk(4, dim=1)
    assert torch.equal(made[name], torch.cat([parts[layer] for layer in (0, 1, 2, 3, 2, 3)], dim=1))
    name = "model.per_layer_model_projection.weight"
    parts = was[name].chunk(4, dim=0)
    assert torch.equal(made[name], torch.cat([parts[layer] for layer in (0, 1, 2, 3, 2, 3)]))
    loaded(tmp_path / "out")
    assert any("holds a part for every layer" in note for note in inspect_model(str(model)).notes)
    assert planned.remapped_keys


def test_a_class_that_nobody_knows_is_expanded_by_structure_alone(tmp_path: Path) -> None:
    """The model is renamed in the config and in all names; undone, the output has to be a Mixtral again."""
    model = write_tiny(tmp_path / "known", "mixtral", num_layers=4)
    unknown, out = tmp_path / "unknown", tmp_path / "out"
    unknown.mkdir()
    config = json.loads((model / "config.json").read_text())
    odd = {**config, "model_type": "quux7b", "architectures": ["QuuxForEverything"]}
    odd = {
        "hidden": odd.pop("hidden_size"),
        "body_spec": {"tower_depth": 9, "n_blocks": odd.pop("num_hidden_layers")},
        **odd,
    }
    (unknown / "config.json").write_text(json.dumps(odd))
    tensors = load_file(model / "model.safetensors")
    odd_names = {name: name.replace("model.layers.", "body_spec.stem2.strata.") for name in tensors}
    save_file({odd_names[name]: tensor for name, tensor in tensors.items()}, unknown / "model.safetensors")
    planned, made = expanded({"model": "MODEL", "layer_map": [[0, 3], [1, 4]]}, unknown, out)
    assert planned.plan.layer_prefix == "body_spec.stem2.strata."
    new = json.loads((out / "config.json").read_text())
    assert new == {**odd, "body_spec": {"tower_depth": 9, "n_blocks": 6}}
    (out / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 6}))
    save_file(
        {name.replace("body_spec.stem2.strata.", "model.layers."): tensor for name, tensor in made.items()},
        out / "model.safetensors",
        metadata={"format": "pt"},
    )
    answer = loaded(out)(input_ids=torch.arange(3, 11)[None]).logits
    assert torch.isfinite(answer).all()
    for index, origin in enumerate([0, 1, 2, 1, 2, 3]):
        here, there = f"body_spec.stem2.strata.{index}.", f"body_spec.stem2.strata.{origin}."
        layer = {name: tensor for name, tensor in made.items() if name.startswith(here)}
        assert len(layer) == len([name for name in odd_names.values() if name.startswith(there)])
        for name, tensor in layer.items():
            assert torch.equal(tensor, tensors[name.replace(here, f"model.layers.{origin}.")])
