"""`distexpand adapter`: what is printed where, and that baking is a run like any other."""

import json
import threading
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")
pytest.importorskip("safetensors", reason="needs pip install 'distexpand[load]'")

from distexpand.api import plan_expansion, run_plan
from distexpand.errors import InterruptedRunError
from distexpand.handoff.bake import baking
from distexpand.report.watching.display import NoProgress
from tests.api.small import COPIES, tree
from tests.cli.calls import Cli
from tests.support.adapter_files import write_adapter

TWICE = [[0, 3], [1, 4]]
SUFFIXES = ("self_attn.q_proj", "mlp.down_proj")


@pytest.fixture
def adapter(model: Path, tmp_path: Path) -> Path:
    return write_adapter(tmp_path / "lr=1", model, SUFFIXES, layer_replication=TWICE)


def test_bake_plan_and_verify(cli: Cli, model: Path, adapter: Path, tmp_path: Path) -> None:
    planned = cli("adapter", "plan", adapter)
    assert planned.code == 0
    assert "4 → 6" in planned.out
    assert "adapter lr-1" in planned.out
    out = tmp_path / "out"
    baked = cli("adapter", "bake", adapter, out, "--json")
    assert baked.code == 0, baked.err
    assert baked.document["output"] == str(out)
    assert baked.document["plan"]["layers"] == cli("adapter", "plan", adapter, "--json").document["layers"]
    places = ("--model", f"{model}={model}", "--model", f"lr-1={adapter}")
    verified = cli("verify", out, "--sources", *places)
    assert verified.code == 0, verified.err
    assert "structure, content, sources verified: 6 layers" in verified.out


def test_the_recipe_of_a_bake_runs_anywhere_and_gives_the_same_output(
    cli: Cli, model: Path, adapter: Path, tmp_path: Path
) -> None:
    base = f"a={model}"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    canonical = cli("adapter", "plan", adapter, "--model", model, "--canonical")
    recipe = tmp_path / "bake.yml"
    recipe.write_text(canonical.out)
    assert "model: a+lr-1" in canonical.out
    assert "adapter_range: [3, 6]" in canonical.out
    assert cli("adapter", "bake", adapter, tmp_path / "one" / "out", "--model", model, "-q").code == 0
    ran = cli("run", recipe, tmp_path / "two" / "out", "--model", base, "--model", f"lr-1={adapter}", "-q")
    assert ran.code == 0, ran.err
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_it_goes_on_where_it_was_interrupted(cli: Cli, adapter: Path, tmp_path: Path) -> None:
    made = baking(str(adapter), {})
    plan = plan_expansion(made.recipe, origin=made.origin, places=made.places, shard_size=5000).plan
    assert len(plan.shards) > 2
    stop = threading.Event()

    class Stopping(NoProgress):
        def shard_done(self, name: str) -> None:  # noqa: ARG002  # as it is called
            stop.set()

    with pytest.raises(InterruptedRunError):
        run_plan(plan, tmp_path / "one" / "out", threads=1, stop=stop, progress=Stopping())
    for name, more in (("one", ("--resume",)), ("two", ())):
        arguments = ("adapter", "bake", adapter, tmp_path / name / "out", "--shard-size", "5KB", "-q", *more)
        assert cli(*arguments).code == 0
        assert cli(*arguments[:7]).code == 2  # there is something
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_an_adapter_and_a_base_of_the_same_name(cli: Cli, model: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "runs" / "a", model, SUFFIXES)
    canonical = cli("adapter", "plan", adapter, "--model", model, "--canonical")
    assert "model: a+a-adapter" in canonical.out


def test_tokenizer_and_dtype_of_a_bake(cli: Cli, model: Path, adapter: Path) -> None:
    (adapter / "tokenizer_config.json").write_text('{"own": true}')
    plain = cli("adapter", "plan", adapter, "--json")
    assert [finding["code"] for finding in plain.document["findings"]] == ["adapter-tokenizer"]
    own = cli("adapter", "plan", adapter, "--tokenizer", "adapter", "--out-dtype", "float32", "--json")
    assert "adapter-tokenizer" not in [finding["code"] for finding in own.document["findings"]]
    assert "tokenizer_source: lr-1" in own.document["recipe"]
    assert "out_dtype: float32" in own.document["recipe"]
    assert cli("adapter", "plan", adapter, "--model", model, "--strict").code == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"peft_type": "IA3"}, "only LORA adapters can be merged"),
        ({"base_model_name_or_path": None}, "the adapter names no base model"),
        ({"base_model_name_or_path": "nowhere"}, "model 'nowhere' is not a directory here"),
        ({"r": 3}, "by the adapter's config its rank is 3"),
        ({"layer_replication": [[0, 9]]}, "[0, 9], which is out of bounds"),
        ({"layer_replication": None}, "changes 'model.layers.4.mlp.down_proj.weight', which"),
    ],
)
def test_what_cant_be_baked_is_one_message_and_no_output(
    cli: Cli, adapter: Path, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    config = adapter / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    refused = cli("adapter", "bake", adapter, tmp_path / "out")
    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err
    assert not (tmp_path / "out").exists()
    assert cli("adapter", "bake", adapter, tmp_path / "out", "--json").document["error"]["message"]


def test_no_adapter_there(cli: Cli, model: Path, tmp_path: Path) -> None:
    for name, said in (
        ("config.json", "no adapter_config.json"),
        ("adapter_config.json", "no weights of an"),
    ):
        directory = tmp_path / "empty"
        directory.mkdir(exist_ok=True)
        (directory / name).write_text(
            json.dumps({"peft_type": "LORA", "r": 1, "lora_alpha": 1, "base_model_name_or_path": str(model)})
        )
        refused = cli("adapter", "plan", directory)
        assert refused.code == 1
        assert said in refused.err
    assert cli("adapter", "plan", tmp_path / "missing").code == 2


def test_export(cli: Cli, model: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yml"
    recipe.write_text(COPIES)
    named = ("--model", f"a={model}")
    python = cli("adapter", "export", recipe, *named, "--rank", "4")
    assert python.code == 0, python.err
    assert "    layer_replication=[[0, 3], [1, 4]],\n" in python.out
    compile(python.out, "pasted", "exec")
    document = cli("adapter", "export", recipe, *named, "--rank", "4", "--json").document
    assert document["python"] == python.out
    assert (document["adapter_config"]["r"], document["adapter_config"]["lora_alpha"]) == (4, 8)
    written = cli("adapter", "export", recipe, *named, "--rank", "4", "--output", tmp_path / "lora")
    assert written.code == 0
    config = tmp_path / "lora" / "adapter_config.json"
    assert json.loads(config.read_text()) == document["adapter_config"]
    again = cli("adapter", "export", recipe, *named, "--output", tmp_path / "lora")
    assert (again.code, "exists" in again.err) == (2, True)
    assert cli("plan", config, *named, "--canonical").out == cli("plan", recipe, *named, "--canonical").out


def test_export_of_what_peft_cant_do(cli: Cli, model: Path, recipe: Path) -> None:
    refused = cli("adapter", "export", recipe, "--model", f"a={model}")
    assert (refused.code, refused.out) == (2, "")
    assert "PEFT can't replicate layers like this: layer 2 is an identity block" in refused.err
    assert "only copied, would be layer_replication [[0, 2], [1, 4], [3, 4]]" in refused.err
