"""What a recipe says as PEFT's config, or why PEFT can't say it."""

import json
from pathlib import Path

import pytest

from distexpand.errors import RecipeError
from distexpand.handoff.export import export_lora
from distexpand.handoff.lora_config import LoraChoice
from distexpand.handoff.target_modules import target_modules
from distexpand.planning.sources import source_model
from distexpand.recipe.canonical import ModelRef
from tests.api.small import small_model
from tests.planning.catalogs import LAYER, catalog_model
from tests.planning.named import catalog_of

CHOICE = LoraChoice(rank=16, alpha=32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("models") / "a")


def exported(text: str, *models: Path, choice: LoraChoice = CHOICE) -> dict[str, object]:
    places = {path.name: str(path) for path in models}
    return export_lora(text, origin="recipe.yml", places=places, choice=choice).config


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("{model: a, layer_map: [[0, 3], [1, 4]]}", [[0, 3], [1, 4]]),
        ("{model: a, layer_map: [[0, 2], [2, 4], [3, 4], [3, 4], [0, 1]]}", [[0, 4], [3, 4], [3, 4], [0, 1]]),
        ("{model: a, depth_up_scaling: {cut: 1}}", [[0, 3], [1, 4]]),
        ("{model: a, repeat: {layer_range: [1, 2], times: 3}}", [[0, 2], [1, 2], [1, 4]]),
        ("{model: a, layer_map: [[3, 4], [2, 3]]}", [[3, 4], [2, 3]]),
        ("{merge_method: passthrough, models: [{model: a}]}", [[0, 4]]),
        ("{merge_method: linear, models: [{model: a, parameters: {weight: 0.3}}]}", [[0, 4]]),
        ("{model: a, layer_map: [[0, 4]], dtype: float32}", [[0, 4]]),
    ],
)
def test_layers_become_ranges(text: str, ranges: list[list[int]], model: Path) -> None:
    config = exported(text, model)
    assert config["layer_replication"] == ranges
    assert config["base_model_name_or_path"] == "a"
    assert config["task_type"] == "CAUSAL_LM"
    assert config["target_modules"] == [
        *("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")
    ]


def test_choices(model: Path) -> None:
    config = exported(
        "{model: a, layer_map: [[0, 4]]}", model, choice=LoraChoice(rank=3, alpha=0.5, rslora=True)
    )
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (3, 0.5, True)


SLICE = "{merge_method: passthrough, slices: [{sources: [{model: a, layer_range: [0, 3]}]}, %s]}"


@pytest.mark.parametrize(
    ("text", "said", "possible"),
    [
        (
            "{model: a, block_expansion: {after: [1]}}",
            "layer 2 is an identity block",
            "layer_replication [[0, 2], [1, 4]]",
        ),
        (
            SLICE % "{sources: [{model: a, layer_range: [1, 4], parameters: {scale: 0.5}}]}",
            "layer 3 is scaled",
            "layer_replication [[0, 3], [1, 4]]",
        ),
        (
            SLICE % "{sources: [{model: b, layer_range: [1, 4]}]}",
            "layer 3 is of b, but an adapter has one base model, which is a",
            "Make the model (distexpand run)",
        ),
        (
            "{merge_method: linear, models: [{model: a}, {model: b}], parameters: {weight: 0.5}}",
            "layer 0 is a weighted sum of several layers",
            "layer_replication [[0, 4]]",
        ),
        (
            "{merge_method: linear, models: [{model: a}], parameters: {weight: 0.5, normalize: false}}",
            "layer 0 is scaled by its weight",
            "layer_replication [[0, 4]]",
        ),
        (
            SLICE.replace("slices", "head: {sources: [{model: b}]}, slices")
            % "{sources: [{model: a, layer_range: [1, 4]}]}",
            "the head: is of b",
            "layer_replication [[0, 3], [1, 4]]",
        ),
    ],
)
def test_what_peft_cant_do_and_what_it_could(
    text: str, said: str, possible: str, model: Path, tmp_path: Path
) -> None:
    others = [small_model(tmp_path / "b", seed=2)] if "model: b" in text else []
    with pytest.raises(RecipeError) as caught:
        exported(text, model, *others)
    assert said in caught.value.message
    assert possible in caught.value.hint
    assert "train an adapter without layer_replication" in caught.value.hint


def test_matrices_are_targets_experts_and_their_router_are_not() -> None:
    shapes = {f"model.layers.0.{suffix}": shape for suffix, shape in LAYER.items()}
    experts = {f"model.layers.0.mlp.experts.{n}.w1.weight": (6, 4) for n in range(2)}
    shapes |= {
        "model.layers.0.mlp.gate.weight": (2, 4),
        "model.layers.0.mlp.conv1d.weight": (4, 4),
        **experts,
    }
    found = target_modules(source_model(ModelRef(name="m"), {"num_hidden_layers": 1}, catalog_of(shapes)))
    assert found.names == ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")
    assert found.notes == ("experts and their router are left out",)
    plain = target_modules(catalog_model("m"))
    assert (plain.notes, plain.transposed) == ((), False)
    norms = catalog_model("m", layer={"input_layernorm.weight": (4,)})
    with pytest.raises(RecipeError, match="m: no linear modules are found"):
        target_modules(norms)


class TestWithPeft:
    """PEFT reads what is exported, trains it, and what comes of it is baked into the recipe's own layers."""

    pytestmark = pytest.mark.usefixtures("peft")

    @pytest.fixture
    def peft(self) -> None:
        pytest.importorskip("peft", reason="needs pip install 'distexpand[dev]'")
        pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

    def test_it_reads_the_config(self, model: Path, tmp_path: Path) -> None:
        from peft import LoraConfig, PeftConfig  # noqa: PLC0415

        config = exported("{model: a, layer_map: [[0, 3], [1, 4]]}", model)
        (tmp_path / "adapter_config.json").write_text(json.dumps(config))
        read = PeftConfig.from_pretrained(str(tmp_path))
        assert isinstance(read, LoraConfig)
        for key, value in config.items():
            found = getattr(read, key)
            assert (sorted(found) if isinstance(found, set) else found) == value, key

    @pytest.mark.parametrize("kind", ["llama", "qwen2", "phi3"])
    def test_there_and_back(self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The pasted Python makes the model; an adapter of it, baked, computes what that one does."""
        import torch  # noqa: PLC0415

        from distexpand.api import plan_expansion, run_plan  # noqa: PLC0415
        from distexpand.handoff.bake import baking  # noqa: PLC0415
        from tests.support.adapters import PROMPT, logits_of, quiet  # noqa: PLC0415
        from tests.support.tiny import tiny_checkpoint  # noqa: PLC0415

        base = tiny_checkpoint(tmp_path / "base", kind, dtype=torch.float32)
        text = "{model: base, layer_map: [[0, 3], [1, 4]]}"
        export = export_lora(text, origin="r", places={"base": str(base)}, choice=CHOICE)
        monkeypatch.chdir(tmp_path)
        pasted: dict[str, object] = {}
        with quiet(), torch.no_grad():
            exec(compile(export.python, "pasted", "exec"), pasted)
            trained = pasted["model"]
            for name, parameter in trained.named_parameters():  # type: ignore[attr-defined]
                if "lora_" in name:
                    parameter.normal_(0, 0.1)
            wanted = trained.eval()(input_ids=PROMPT).logits  # type: ignore[attr-defined]
            trained.save_pretrained("adapter")  # type: ignore[attr-defined]
        made = baking("adapter", {})
        run_plan(plan_expansion(made.recipe, origin=made.origin, places=made.places).plan, tmp_path / "out")
        assert (logits_of(tmp_path / "out") - wanted).abs().max() < 1e-4
        plain = plan_expansion(text, origin="r", places={"base": str(base)}).plan
        assert [(layer.model, layer.layer, layer.copy) for layer in plain.layers] == [
            (layer.model, layer.layer, layer.copy)
            for layer in plan_expansion(made.recipe, origin="r", places=made.places).plan.layers
        ]
