"""An output beside its source: exactly equal where it has to be, and how far apart elsewhere."""

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

from safetensors.torch import load_file, save_file  # noqa: E402

import distexpand  # noqa: E402
from distexpand.api import plan_expansion  # noqa: E402
from distexpand.cli.verify_running import RunningFound, show_found  # noqa: E402
from distexpand.errors import CheckpointError, UsageError, VerificationError  # noqa: E402
from distexpand.models import compare_with_source, load_output  # noqa: E402
from distexpand.running import loading  # noqa: E402
from distexpand.running.exactness import only_adds_identities  # noqa: E402
from tests.api.test_smollm2_acceptance import LLAMA_PRO, OPENCHAT  # noqa: E402
from tests.cli.calls import Cli  # noqa: E402
from tests.running.real_models import expanded, loaded, saved  # noqa: E402

STACK = "{model: a, layer_map: [[0, 4], [2, 6]]}"
BLOCKS = "{model: a, block_expansion: {blocks: 3, where: interleaved}}"
WORDS = "a b c b a c c b a"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def _slices(second: str, tail: str = "") -> str:
    return (
        "slices:\n- sources: [{model: a, layer_range: [0, 6]}]\n"
        f"- sources: [{{model: a, {second}}}]\nmerge_method: passthrough\n{tail}"
    )


ZEROED = (
    "layer_range: [5, 6], "
    "parameters: {scale: [{filter: o_proj, value: 0}, {filter: down_proj, value: 0}, {value: 1}]}"
)
RECIPES = {
    BLOCKS: True,
    _slices(ZEROED): True,
    _slices("layer_range: [5, 6], identity: true"): True,
    STACK: False,
    _slices("layer_range: [5, 6]"): False,
    _slices("layer_range: [5, 6], identity: true", "out_dtype: float32\n"): False,
    _slices("layer_range: [5, 6], identity: true").replace("[0, 6]", "[0, 5]"): False,
    BLOCKS.replace("}}", "}, attenuate_duplicates: [{value: 0.5}]}"): True,
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_which_recipes_only_add_identity_blocks(tmp_path: Path, recipe: str) -> None:
    source = saved(tmp_path / "a", "llama")
    planned = plan_expansion(recipe, origin="recipe", places={"a": str(source)})
    assert only_adds_identities(planned.plan, layers_before=planned.layers_before) is RECIPES[recipe]


@pytest.mark.parametrize("recipe", [LLAMA_PRO, OPENCHAT], ids=["llama-pro", "openchat"])
def test_identity_blocks_on_a_real_model_change_no_bit(smollm2: Path, tmp_path: Path, recipe: str) -> None:
    output = expanded(recipe, smollm2, tmp_path / "out", name="smollm2")
    found = compare_with_source(output, places={"smollm2": str(smollm2)})
    assert found.has_to_be_equal
    assert found.equal
    assert found.ok
    assert found.by_tokenizer
    assert len(found.positions) > 60
    assert (found.largest_difference, found.mean_divergence, found.top_agreement) == (0, 0, 1)


@pytest.mark.parametrize("model_type", ["gpt2", "mixtral", "gemma3_text", "falcon_h1", "t5"])
def test_identity_blocks_of_other_classes_change_no_bit(tmp_path: Path, model_type: str) -> None:
    source = saved(tmp_path / "a", model_type, auto="seq2seq" if model_type == "t5" else "causal")
    output = expanded(BLOCKS, source, tmp_path / "out")
    found = compare_with_source(output, places={"a": str(source)}, text=WORDS)
    assert found.has_to_be_equal
    assert found.equal


def test_a_stack_is_as_far_off_as_computed_directly(tmp_path: Path) -> None:
    source = saved(tmp_path / "a", "llama")
    output = expanded(STACK, source, tmp_path / "out")
    found = compare_with_source(output, places={"a": str(source)}, text=WORDS)
    assert not found.has_to_be_equal
    assert not found.equal
    assert found.ok
    rows = torch.tensor([[position.token for position in found.positions]])
    with torch.inference_mode():
        theirs, ours = (loaded(place)(rows).logits[0].double() for place in (source, output))
    for position, one, other in zip(found.positions, theirs, ours, strict=True):
        divergence = torch.nn.functional.kl_div(
            other.log_softmax(-1), one.log_softmax(-1), log_target=True, reduction="sum"
        )
        assert position.difference == float((one - other).abs().max())
        assert position.divergence == pytest.approx(float(divergence), abs=1e-9)
        assert position.same_top == bool(one.argmax() == other.argmax())


def test_a_model_without_a_tokenizer_gets_fixed_tokens_and_no_text(tmp_path: Path) -> None:
    source = saved(tmp_path / "a", "llama")
    for path in source.glob("tokenizer*"):
        path.unlink()
    output = expanded(BLOCKS, source, tmp_path / "out")
    found = compare_with_source(output, places={"a": str(source)})
    assert found.equal
    assert not found.by_tokenizer
    assert len({position.token for position in found.positions}) > 20
    with pytest.raises(UsageError, match="its tokenizer can't be loaded"):
        compare_with_source(output, places={"a": str(source)}, text=WORDS)


def test_a_text_that_the_model_has_no_token_for_is_the_text_s_fault(tmp_path: Path) -> None:
    output, source = _identity_output(tmp_path)
    for text in ("", "  "):
        with pytest.raises(UsageError, match="the text holds no token of a"):
            compare_with_source(output, places={"a": str(source)}, text=text)


def test_a_device_is_called_by_its_name(tmp_path: Path) -> None:
    output, source = _identity_output(tmp_path)
    for device, message in (
        (None, "device None: expected its name"),
        ("nonsense", "device 'nonsense': torch can't"),
    ):
        with pytest.raises(UsageError, match=message):
            distexpand.verify(output, identity=True, models={"a": source}, device=device)  # type: ignore[arg-type]


def _change(output: Path, tensor: str, change: Any) -> None:
    for path in output.glob("*.safetensors"):
        tensors = load_file(path)
        if tensor in tensors:
            tensors[tensor] = change(tensors[tensor])
            save_file(tensors, path, metadata={"format": "pt"})


def _identity_output(tmp_path: Path) -> tuple[Path, Path]:
    source = saved(tmp_path / "a", "llama")
    return expanded(BLOCKS, source, tmp_path / "out"), source


def test_an_identity_output_says_so(tmp_path: Path, cli: Cli) -> None:
    output, source = _identity_output(tmp_path)
    done = cli("verify", output, "--identity", "--model", f"a={source}")
    assert done.code == 0
    assert "says exactly what a says: logits equal bit for bit at" in done.out


def test_a_block_that_isnt_an_identity_any_more_is_a_failure(tmp_path: Path) -> None:
    output, source = _identity_output(tmp_path)
    _change(output, "model.layers.2.mlp.down_proj.weight", lambda tensor: tensor + 0.5)
    found = compare_with_source(output, places={"a": str(source)})
    assert found.has_to_be_equal
    assert not found.ok
    assert found.to_json()["ok"] is False
    with pytest.raises(VerificationError, match="only adds identity blocks to a, but its logits") as caught:
        show_found(output, RunningFound(comparison=found), quiet=True)
    assert caught.value.exit_code == 3


def test_from_python_an_identity_is_part_of_the_report(tmp_path: Path) -> None:
    output, source = _identity_output(tmp_path)
    same = distexpand.verify(output, load=True, identity=True, models={"a": source})
    assert same.ok
    assert same.checks[-2:] == ("load", "identity")
    assert same.comparison is not None
    assert same.comparison.equal
    assert same.to_json()["identity"]["ok"]
    _change(source, "model.layers.2.mlp.down_proj.weight", lambda tensor: tensor + 0.5)
    other = distexpand.verify(output, identity=True, models={"a": source}, text=WORDS)
    assert [difference.check for difference in other.differences] == ["identity"]
    assert "only adds identity blocks to a, but its logits differ by" in other.differences[0].message
    assert other.comparison is not None
    assert len(other.comparison.positions) == 9


def test_how_far_a_stack_is_off_is_told_and_no_failure(tmp_path: Path, cli: Cli) -> None:
    source = saved(tmp_path / "a", "llama")
    output = expanded(STACK, source, tmp_path / "out")
    text = tmp_path / "text.txt"
    text.write_text(WORDS)
    done = cli("verify", output, "--identity", "--text", text, "--model", f"a={source}")
    assert done.code == 0
    assert "against a at 9 positions: logits differ by up to" in " ".join(done.out.split())
    done = cli("verify", output, "--identity", "--text", text, "--model", f"a={source}", "--json")
    assert (done.code, done.document["ok"]) == (0, True)
    assert len(done.document["identity"]["positions"]) == 9


@pytest.mark.parametrize("memory", [None, 50_000], ids=["in memory", "from disk"])
@pytest.mark.parametrize("model_type", ["llama", "mixtral"])
def test_an_output_loads(tmp_path: Path, model_type: str, memory: int | None) -> None:
    output = expanded(STACK, saved(tmp_path / "a", model_type), tmp_path / "out")
    found = load_output(output, memory=memory)
    assert found.loader.startswith(("LlamaForCausalLM", "MixtralForCausalLM"))
    assert found.from_disk is (memory is not None)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"num_hidden_layers": 9}, "'model.layers.8.input_layernorm.weight' is missing and 8 more"),
        ({"intermediate_size": 64}, "'model.layers.0.mlp.down_proj.weight' is of another shape and 23 more"),
        ({"num_hidden_layers": 7}, "'model.layers.7.input_layernorm.weight' is unexpected and 8 more"),
    ],
    ids=["missing", "mismatched", "unexpected"],
)
def test_a_key_without_its_place_is_named(
    tmp_path: Path, cli: Cli, damage: dict[str, int], message: str
) -> None:
    output = expanded(STACK, saved(tmp_path / "a", "llama"), tmp_path / "out")
    assert cli("verify", output, "--load").code == 0
    config = json.loads((output / "config.json").read_text())
    (output / "config.json").write_text(json.dumps(config | damage))
    with pytest.raises(VerificationError) as caught:
        load_output(output)
    assert caught.value.message == f"{output}: on loading, {message}"
    assert caught.value.exit_code == 3


def test_what_does_not_load_is_a_difference_in_the_document(tmp_path: Path, cli: Cli) -> None:
    source = saved(tmp_path / "a", "llama")
    config = json.loads((source / "config.json").read_text()) | {"intermediate_size": 64}
    (source / "config.json").write_text(json.dumps(config))
    output = expanded(STACK, source, tmp_path / "out")
    done = cli("verify", output, "--load", "--identity", "--json")
    assert done.code == 3
    assert done.document["ok"] is False
    assert done.document["checks"][-1] == "load"
    (found,) = done.document["differences"]
    assert found["check"] == "load"
    assert "is of another shape and 23 more" in found["message"]
    assert json.loads(json.dumps(distexpand.verify(output, load=True).to_json())) == done.document


def test_an_archive_has_to_be_unpacked_to_be_loaded(tmp_path: Path, cli: Cli) -> None:
    output = expanded(BLOCKS, saved(tmp_path / "a", "llama"), tmp_path / "out")
    assert cli("pack", output, tmp_path / "archive").code == 0
    done = cli("verify", tmp_path / "archive", "--load")
    assert done.code == 2
    assert "distexpand unpack" in done.err


def test_a_tensor_of_another_shape_is_named_before_both_are_run(tmp_path: Path) -> None:
    source = saved(tmp_path / "a", "llama")
    output = expanded(STACK, source, tmp_path / "out")
    for directory in (output, source):
        config = json.loads((directory / "config.json").read_text())
        (directory / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))
    said = r"has a tensor of another shape for 'model\.layers\.0\.mlp\.down_proj\.weight' and \d+ more"
    with pytest.raises(CheckpointError, match=f"^a: {said}$"):
        compare_with_source(output, places={"a": str(source)})
    with pytest.raises(CheckpointError, match=f"{said}$"):
        distexpand.load_virtual(STACK, models={"a": source})


def test_what_can_only_be_done_here_says_so(tmp_path: Path, cli: Cli) -> None:
    done = cli("verify", "s3://bucket/model", "--load")
    assert done.code == 2
    assert "only an output on this machine can be run" in done.err
    done = cli("verify", tmp_path, "--text", tmp_path / "text")
    assert done.code == 2
    assert "--text is for --identity" in done.err


def test_a_containers_memory_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = loading.free_memory()
    assert whole > 0
    monkeypatch.setattr(loading, "_CONTROL_GROUP", tmp_path)
    (tmp_path / "memory.current").write_text("300\n")
    (tmp_path / "memory.max").write_text("1000\n")
    assert loading.free_memory() == 700
    (tmp_path / "memory.max").write_text("max\n")
    assert loading.free_memory() > 700
