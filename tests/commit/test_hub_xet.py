"""What the Hub's deduplicating storage makes of expansions: copied layers are hardly sent."""

from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub", reason="needs pip install 'distexpand[hub]'")
pytest.importorskip("hf_xet", reason="needs pip install 'distexpand[hub]'")

from huggingface_hub import HfApi

from distexpand.api import run_plan
from distexpand.planning.model import Plan
from tests.api.small import small_plan, tree
from tests.commit.hub_runs import output_on_hub, run_on_hub, shard_bytes
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint

STACK = "{model: a, layer_map: [[0, 6], [2, 8]]}"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Return a plan over a model of 15 MB: Xet's chunks are of 64 KiB."""
    model = tmp_path_factory.mktemp("models") / "a"
    sizes = {"hidden_size": 256, "intermediate_size": 704, "vocab_size": 800}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    write_checkpoint(model, family("llama2-7b", num_layers=8, **sizes, **heads), fill="random", seed=1)
    return small_plan(STACK, model, shard_size=10**9)


def test_repeated_layers_are_stored_once(plan: Plan, tmp_path: Path) -> None:
    run_plan(plan, tmp_path / "out")
    with output_on_hub(tmp_path, xet=True) as hub_place:
        run_on_hub(hub_place, plan)
        assert hub_place.files() == tree(tmp_path / "out")
        unique = sum(path.stat().st_size for path in Path(plan.locations[0][1]).glob("*.safetensors"))
        assert unique < 0.75 * shard_bytes(plan)
        assert hub_place.server.hub.xet.stored_bytes < 1.05 * unique
        assert hub_place.sent_bytes == 0


def test_an_expansion_of_what_the_hub_has_adds_next_to_nothing(plan: Plan, tmp_path: Path) -> None:
    with output_on_hub(tmp_path, xet=True) as hub_place:
        api = HfApi()
        api.create_repo("ann/a")
        api.upload_folder(repo_id="ann/a", folder_path=plan.locations[0][1])
        before = hub_place.server.hub.xet.stored_bytes
        run_on_hub(hub_place, plan)
        assert hub_place.server.hub.xet.stored_bytes - before < 0.05 * shard_bytes(plan)


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_a_hub_without_xet_gets_large_files_the_older_way(plan: Plan, tmp_path: Path) -> None:
    """The library has Xet and would use it; left alone, it fails."""
    run_plan(plan, tmp_path / "out")
    with output_on_hub(tmp_path, xet=False) as hub_place, pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
        run_on_hub(hub_place, plan)
        assert hub_place.files() == tree(tmp_path / "out")
        # and the plan's own file, which the library also takes for a large one
        assert shard_bytes(plan) <= hub_place.sent_bytes < shard_bytes(plan) + 10_000
