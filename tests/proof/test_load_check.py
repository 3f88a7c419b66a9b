"""The load check on real classes: what is right passes, what is wrong is named before it is written."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

from safetensors.torch import load_file, save_file

import distexpand
from distexpand.api import check_load, plan_expansion, planned_from
from distexpand.commit.work_directory import NOTICE_NAME
from distexpand.errors import LoadCheckError, RecipeError
from distexpand.planning.model import Plan
from distexpand.python import load_check
from distexpand.python.load_check import wanted
from distexpand.python.saved_plan import save_plan
from tests.cli.calls import Cli
from tests.proof.doctored import STACK, prove_here, with_config, without_shard_of
from tests.support.architectures import write_tiny


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def _plan(directory: Path, model_type: str, recipe: str = STACK, **changes: Any) -> Plan:
    source = write_tiny(directory / "a", model_type, **changes)
    return plan_expansion(recipe, origin="recipe", places={"a": str(source)}, shard_size=5000).plan


def test_what_loads_passes_and_says_as_what(tmp_path: Path) -> None:
    proof = prove_here(_plan(tmp_path, "llama"))
    assert proof.loader.startswith("LlamaForCausalLM of transformers ")
    assert not proof.skipped


def test_stale_layer_types_stop_a_run_before_the_output_exists(tmp_path: Path, cli: Cli) -> None:
    plan = _plan(tmp_path, "gemma3_text")

    def turn(config: dict[str, Any]) -> None:
        kinds = config["layer_types"]
        config["layer_types"] = kinds[::-1]

    saved, out = tmp_path / "saved.plan", tmp_path / "out"
    doctored = planned_from(with_config(plan, turn), findings=(), layers_before=6, remapped_keys=())
    save_plan(doctored, saved)
    done = cli("run", saved, out, "--check-load")
    assert done.code == LoadCheckError.exit_code
    kinds = "layer_types = 'full_attention'; its source, layer 0 of a, ran with 'sliding_attention'"
    assert f"error: layer 0 would run with {kinds}" in done.err
    assert not out.exists()
    again = cli("run", saved, out, "--check-load", "--resume")
    assert (again.code, again.err) == (done.code, done.err)
    with pytest.raises(LoadCheckError):
        distexpand.run(saved, out, resume=True, check_load=True)
    assert not out.exists()


def test_only_a_run_that_goes_on_is_not_proven_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_check, "can_prove", lambda: True)
    begun = tmp_path / "out"
    assert wanted(None, resume=True, output=begun)
    begun.mkdir()
    (begun / NOTICE_NAME).touch()
    assert not wanted(None, resume=True, output=begun)
    assert wanted(True, resume=True, output=begun)
    assert wanted(None, resume=False, output=begun)
    assert not wanted(False, resume=False, output=begun)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({}, "'model.norm.weight' missing"), ({"intermediate_size": 64}, "and 17 more of another shape")],
    ids=["a key", "shapes"],
)
def test_what_the_source_itself_lacks_is_told(
    tmp_path: Path, cli: Cli, changes: dict[str, Any], words: str
) -> None:
    source, recipe = write_tiny(tmp_path / "a", "llama"), tmp_path / "recipe.yml"
    recipe.write_text(STACK)
    if changes:
        config = json.loads((source / "config.json").read_text()) | changes
        (source / "config.json").write_text(json.dumps(config))
    else:
        weights = load_file(source / "model.safetensors")
        del weights["model.norm.weight"]
        save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    done = cli("plan", recipe, "--model", f"a={source}", "--check-load")
    assert done.code == 0
    assert "loads as" not in done.out
    assert words in done.out + done.err
    strict = cli("run", recipe, tmp_path / "out", "--model", f"a={source}", "--strict", "--check-load")
    assert strict.code == RecipeError.exit_code
    assert "source-incomplete" in strict.err
    assert not (tmp_path / "out").exists()


def test_a_missing_head_is_named(tmp_path: Path) -> None:
    plan = without_shard_of(_plan(tmp_path, "llama"), "lm_head.weight")
    assert prove_here(plan).problem == "on loading, 'lm_head.weight' would be missing"


def test_a_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    plan = with_config(_plan(tmp_path, "llama"), lambda config: config.update(intermediate_size=64))
    problem = prove_here(plan).problem
    assert "'model.layers.0.mlp.down_proj.weight' would be of another shape and 23 more" in problem


def test_a_wrong_rule_that_changes_no_tensor_is_named(tmp_path: Path) -> None:
    plan = with_config(
        _plan(tmp_path, "qwen2", use_sliding_window=True, max_window_layers=6),
        lambda config: config.update(layer_types=["sliding_attention"] * 8),
    )
    assert "layer 0 would run with layer_types = 'sliding_attention'" in prove_here(plan).problem


def test_a_number_that_depends_on_depth_is_named(tmp_path: Path) -> None:
    plan = with_config(
        _plan(tmp_path, "granite", residual_multiplier=0.5),
        lambda config: config.update(residual_multiplier=0.25),
    )
    assert "layer 0 would run with residual_multiplier = 0.25" in prove_here(plan).problem


def test_layers_of_two_sources_are_compared_each_with_its_own(tmp_path: Path) -> None:
    first = write_tiny(tmp_path / "a", "granite", seed=1, residual_multiplier=0.5)
    second = write_tiny(tmp_path / "b", "granite", seed=2, residual_multiplier=0.25)
    recipe = """
    slices:
      - sources: [{model: a, layer_range: [0, 4]}]
      - sources: [{model: b, layer_range: [2, 6]}]
    merge_method: passthrough
    """
    places = {"a": str(first), "b": str(second)}
    plan = plan_expansion(recipe, origin="recipe", places=places).plan
    assert prove_here(plan).problem == (
        "layer 4 would run with residual_multiplier = 0.5; its source, layer 2 of b, ran with 0.25"
    )


def test_an_unknown_model_is_skipped_with_the_reason(tmp_path: Path, cli: Cli) -> None:
    source = write_tiny(tmp_path / "a", "llama")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"model_type": "odd", "architectures": ["Odd"]}))
    recipe = tmp_path / "recipe.yml"
    recipe.write_text(STACK)
    done = cli("plan", recipe, "--model", f"a={source}", "--check-load", "--json")
    assert done.code == 0, done.err
    assert "doesn't know the model type 'odd'" in done.document["load_check"]["skipped"]
    assert "load-check-skipped" in {finding["code"] for finding in done.document["findings"]}


_CODE = """
from pathlib import Path

from transformers import LlamaConfig, LlamaForCausalLM

Path({marker!r}).touch()


class OddConfig(LlamaConfig):
    model_type = "odd"


class OddForCausalLM(LlamaForCausalLM):
    config_class = OddConfig
"""


def _custom_code(tmp_path: Path) -> tuple[Plan, Path]:
    """Return the plan of a model that brings its own code, and the file that this makes when it runs."""
    source, marker = write_tiny(tmp_path / "a", "llama"), tmp_path / "ran"
    (source / "odd.py").write_text(_CODE.format(marker=str(marker)))
    classes = {"AutoConfig": "odd.OddConfig", "AutoModelForCausalLM": "odd.OddForCausalLM"}
    config = json.loads((source / "config.json").read_text())
    odd = {"model_type": "odd", "architectures": ["OddForCausalLM"], "auto_map": classes}
    (source / "config.json").write_text(json.dumps(config | odd))
    return plan_expansion(STACK, origin="recipe", places={"a": str(source)}).plan, marker


def test_custom_code_runs_only_if_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    plan, marker = _custom_code(tmp_path)
    proof = check_load(plan)
    assert "--trust-remote-code" in proof.skipped
    assert not marker.exists()
    proof = check_load(plan, trust_remote_code=True)
    assert proof.loader.startswith("OddForCausalLM")
    assert marker.exists()


def test_a_quantised_model_whose_package_is_missing_still_has_its_kinds_compared(tmp_path: Path) -> None:
    plan = _plan(tmp_path, "granite", quantization_config={"quant_method": "gptq", "bits": 4})
    proof = prove_here(plan)
    assert "the source itself can't be loaded here" in proof.skipped
    assert not proof.problem
    wrong = with_config(plan, lambda config: config.update(residual_multiplier=0.25))
    assert "residual_multiplier" in prove_here(wrong).problem


def test_code_in_the_working_directory_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = _plan(tmp_path, "llama")
    here = tmp_path / "here"
    here.mkdir()
    for name in ("json", "torch", "transformers"):
        (here / f"{name}.py").write_text("import os; os._exit(7)\n")
    monkeypatch.chdir(here)
    proof = check_load(plan)
    assert proof.loader.startswith("LlamaForCausalLM of transformers ")
    assert not proof.skipped


def test_a_config_that_the_class_itself_refuses_is_said_to_be_so(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "a", "llama")
    config = json.loads((source / "config.json").read_bytes())
    (source / "config.json").write_text(json.dumps(config | {"num_attention_heads": "x"}))
    plan = plan_expansion(STACK, origin="recipe", places={"a": str(source)}, shard_size=5000).plan
    proof = check_load(plan)
    assert proof.skipped.startswith("the source's own config can't be read here: ")
