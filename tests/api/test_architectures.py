"""Telling architectures through the whole program: stacked out of order, and with an identity block.

The whole matrix is `python -m benchmarks.architectures`; its table is docs/architectures.md.
"""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

from distexpand.api import plan_expansion, run_plan
from distexpand.errors import ArchitectureError
from tests.proof.doctored import prove_here
from tests.support.architecture_judge import judge
from tests.support.architectures import Auto, write_tiny

STACK = "{model: m, layer_map: [[0, 4], [2, 6]]}", (0, 1, 2, 3, 2, 3, 4, 5), ()
ODD = "{model: m, layer_map: [[0, 2], [1, 2], [3, 6], [2, 5]]}", (0, 1, 1, 3, 4, 5, 2, 3, 4), ()
BLOCK = "{model: m, block_expansion: {blocks: 1, where: end}}", (0, 1, 2, 3, 4, 5, 5), (6,)


def _expand_and_judge(
    directory: Path,
    auto: Auto,
    model_type: str,
    case: tuple[str, tuple[int, ...], tuple[int, ...]],
    shard_size: int = 10**9,
) -> None:
    recipe, layer_map, new = case
    source = write_tiny(directory / "m", model_type, auto=auto, max_shard_size=shard_size)
    output = directory / "out"
    plan = plan_expansion(recipe, origin="r", places={"m": str(source)}, shard_size=shard_size).plan
    assert not prove_here(plan).problem
    run_plan(plan, output)
    judge(source, output, layer_map, num_layers=6, new=new)


@pytest.mark.parametrize(
    ("auto", "model_type"),
    [
        ("causal", "llama"),
        ("causal", "gemma3_text"),
        ("causal", "qwen3_next"),
        ("causal", "gpt_oss"),
        ("causal", "llama4_text"),
        ("causal", "falcon_h1"),
        ("causal", "nemotron_h"),
        ("causal", "bamba"),
        ("image-text", "qwen3_vl"),
        ("image-text", "llava"),
        ("seq2seq", "t5"),
        ("encoder", "modernbert"),
    ],
)
def test_layers_in_another_order_run_as_what_they_were(tmp_path: Path, auto: Auto, model_type: str) -> None:
    _expand_and_judge(tmp_path, auto, model_type, ODD)


def test_layers_that_a_config_counts_in_parts_stay_in_their_sections(tmp_path: Path) -> None:
    _expand_and_judge(tmp_path, "causal", "dory", STACK)
    with pytest.raises(ArchitectureError, match=r"'n_input_layers' can't .* whose section is 'input'"):
        plan_expansion(ODD[0], origin="r", places={"m": str(tmp_path / "m")})


@pytest.mark.parametrize(
    ("auto", "model_type"),
    [
        ("causal", "gemma3_text"),
        ("causal", "qwen3_next"),
        ("causal", "gpt_oss"),
        ("causal", "deepseek_v3"),
        ("causal", "falcon_h1"),
        ("causal", "mamba"),
        ("causal", "dory"),
        ("image-text", "qwen3_vl"),
    ],
)
def test_an_identity_block_changes_no_answer(tmp_path: Path, auto: Auto, model_type: str) -> None:
    _expand_and_judge(tmp_path, auto, model_type, BLOCK)


def test_many_shards_come_to_the_same(tmp_path: Path) -> None:
    _expand_and_judge(tmp_path, "causal", "jamba", STACK, shard_size=30_000)
