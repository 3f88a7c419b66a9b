"""Perplexities are those of transformers' documentation, however windows are put together."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.errors import UsageError
from distexpand.running.evaluation import EvalOptions
from distexpand.running.windows import batches, cut_windows

torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
transformers = pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

from distexpand.models import evaluate  # noqa: E402
from tests.running.real_models import expanded, loaded, saved  # noqa: E402
from tests.support.architectures import Auto  # noqa: E402

TEXT = (Path(__file__).parents[2] / "LICENSE").read_text()[:1500]
WORDS = " ".join(["a", "b", "c", "b", "a", "c", "c", "b"] * 8)


def _documented(model: Any, ids: Any, max_length: int, stride: int) -> float:
    """Return the perplexity by the loop of transformers' documentation."""
    nll_sum = tokens = previous = 0
    for begin in range(0, ids.size(1), stride):
        end = min(begin + max_length, ids.size(1))
        window = ids[:, begin:end]
        targets = window.clone()
        targets[:, : previous - end] = -100
        with torch.no_grad():
            loss = model(window, labels=targets).loss
        count = int((targets != -100).sum()) - 1
        nll_sum += loss * count
        tokens += count
        previous = end
        if end == ids.size(1):
            break
    return float(torch.exp(nll_sum / tokens))


def test_a_real_model_has_the_perplexity_that_transformers_computes(smollm2: Path) -> None:
    ids = transformers.AutoTokenizer.from_pretrained(smollm2)(TEXT, return_tensors="pt").input_ids
    expected = _documented(loaded(smollm2), ids, 128, 64)
    found = evaluate(str(smollm2), TEXT, EvalOptions(window=128, stride=64, together=256))
    assert found.perplexity == pytest.approx(expected, rel=5e-5)
    assert (found.tokens, found.layers) == (ids.size(1), 30)
    assert 0 < found.bits < 8


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "qwen3_moe", "mamba2"])
def test_windows_together_are_windows_by_themselves(tmp_path: Path, model_type: str) -> None:
    directory = saved(tmp_path / "a", model_type)
    ids = transformers.AutoTokenizer.from_pretrained(directory)(WORDS, return_tensors="pt").input_ids
    expected = _documented(loaded(directory), ids, 16, 8)
    options = {together: EvalOptions(window=16, stride=8, together=together) for together in (1, 64, 4096)}
    found = {together: evaluate(str(directory), WORDS, option) for together, option in options.items()}
    assert [result.passes for result in found.values()] == [7, 2, 1]
    for result in found.values():
        assert result.perplexity == pytest.approx(expected, rel=1e-3)
    assert found[1].perplexity == pytest.approx(expected, rel=1e-6)


def test_a_recipe_has_the_perplexity_of_what_it_makes(tmp_path: Path) -> None:
    source = saved(tmp_path / "a", "llama")
    recipe = tmp_path / "recipe.yml"
    recipe.write_text("{model: a, layer_map: [[0, 4], [2, 6]]}")
    output = expanded(recipe.read_text(), source, tmp_path / "out")
    options = EvalOptions(window=16, stride=8)
    shares: list[float] = []
    virtual = evaluate(str(recipe), WORDS, options, places={"a": str(source)}, progress=shares.append)
    written = evaluate(str(output), WORDS, options)
    assert (virtual.perplexity, virtual.bits) == (written.perplexity, written.bits)
    assert (virtual.layers, virtual.parameters) == (8, written.parameters)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) >= 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 100_000}, "takes at most .* less than a window of 100000"),
        ({"window": 8, "stride": 9}, "a stride of 9 leaves tokens out"),
    ],
)
def test_windows_that_dont_fit_say_why(tmp_path: Path, options: dict[str, int], message: str) -> None:
    directory = saved(tmp_path / "a", "llama")
    with pytest.raises(UsageError, match=message):
        evaluate(str(directory), WORDS, EvalOptions(**options))


@pytest.mark.parametrize(("model_type", "auto"), [("t5", "seq2seq"), ("bert", "encoder")])
def test_what_predicts_no_next_token_has_no_perplexity(tmp_path: Path, model_type: str, auto: Auto) -> None:
    directory = saved(tmp_path / "a", model_type, auto=auto)
    with pytest.raises(UsageError, match="doesn't predict the next token"):
        evaluate(str(directory), WORDS, EvalOptions())


def test_a_text_needs_a_tokenizer(tmp_path: Path) -> None:
    directory = saved(tmp_path / "a", "llama")
    for path in directory.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(UsageError, match="its tokenizer can't be loaded"):
        evaluate(str(directory), WORDS, EvalOptions())


@given(tokens=st.integers(2, 400), window=st.integers(2, 90), stride=st.integers(1, 90))
def test_every_token_counts_once_and_windows_reach_the_end(tokens: int, window: int, stride: int) -> None:
    if stride > window:
        with pytest.raises(UsageError):
            cut_windows(tokens, window=window, stride=stride)
        return
    windows = cut_windows(tokens, window=window, stride=stride)
    scored = [token for part in windows for token in range(part.end - part.scored, part.end)]
    alone = stride == window and tokens % window == 1
    assert scored == list(range(tokens - alone))
    assert all(part.length <= window for part in windows)
    assert all(after.begin - before.begin == stride for before, after in pairwise(windows))
    assert windows[0].predicted == windows[0].length - 1
    overlap = stride < window
    assert all(part.predicted == part.scored - (not overlap) > 0 for part in windows[1:])
    assert sum(part.weight for part in windows) > 0


@given(
    tokens=st.integers(2, 400),
    window=st.integers(2, 50),
    stride=st.integers(1, 50),
    together=st.integers(1, 200),
)
def test_batches_hold_all_windows_in_order_and_none_too_many(
    tokens: int, window: int, stride: int, together: int
) -> None:
    windows = cut_windows(tokens, window=window, stride=min(stride, window))
    groups = list(batches(windows, tokens=together))
    assert [part for group in groups for part in group] == list(windows)
    for group in groups:
        assert len({part.length for part in group}) == 1
        assert len(group) == 1 or sum(part.length for part in group) <= together


def test_a_text_of_one_token_is_refused() -> None:
    with pytest.raises(UsageError, match="a text of 1 tokens is too short"):
        cut_windows(1, window=8, stride=4)
