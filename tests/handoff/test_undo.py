"""The recipe that takes an expansion back keeps the original layers in their order, or says why it can't."""

import json
from pathlib import Path

import pytest
import yaml

from distexpand.api import plan_expansion, run_plan
from distexpand.errors import UsageError
from distexpand.intake.weights import read_catalog
from distexpand.storage.local.directories import LocalSource
from distexpand.training import undoing_recipe
from tests.api.small import BLOCKS, COPIES, TWO_SOURCES, small_model
from tests.cli.calls import Cli

BACK = {
    BLOCKS: [[0, 2], [3, 5]],
    COPIES: [[0, 3], [5, 6]],
    "{model: a, block_expansion: {blocks: 3, where: end}}": [[0, 4]],
    "{model: a, layer_map: [[2, 4], [0, 4]]}": [[2, 4], [0, 2]],
    "{model: a, repeat: {layer_range: [1, 3], times: 3}}": [[0, 3], [7, 8]],
}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def _expanded(recipe: str, tmp_path: Path) -> tuple[Path, Path]:
    places = {}
    for seed, name in enumerate(("a", "b"), start=1):
        if f"model: {name}" in recipe:
            places[name] = str(small_model(tmp_path / name, seed=seed))
    run_plan(plan_expansion(recipe, origin="recipe", places=places, shard_size=5000).plan, tmp_path / "out")
    return tmp_path / "a", tmp_path / "out"


def _tensors(directory: Path) -> dict[str, bytes]:
    """Return the bytes of every tensor."""
    store = LocalSource(directory)
    found = {}
    for name, entry in read_catalog(store, store.files()).tensors.items():
        found[name] = (directory / entry.file).read_bytes()[entry.offset : entry.offset + entry.length]
    return found


@pytest.mark.parametrize("recipe", BACK)
def test_running_it_gives_the_source_again(tmp_path: Path, cli: Cli, recipe: str) -> None:
    source, output = _expanded(recipe, tmp_path)
    done = cli("init", "--undo", output)
    assert done.code == 0
    assert "--model out=TRAINED" in done.err
    undo = tmp_path / "undo.yml"
    undo.write_text(done.out)
    assert cli("run", undo, tmp_path / "back", "--model", f"out={output}").code == 0
    assert _tensors(tmp_path / "back") == _tensors(source)
    configs = [json.loads((place / "config.json").read_text()) for place in (tmp_path / "back", source)]
    assert configs[0] == configs[1]
    spans = [place for span in yaml.safe_load(done.out)["layer_map"] for place in range(*span)]
    assert spans == [place for span in BACK[recipe] for place in range(*span)]


REFUSED = {
    TWO_SOURCES: "doesn't have layer 3 of a as it was|embeddings or head of b",
    "{model: a, layer_map: [[0, 2], [3, 4]]}": "doesn't have layer 2 of a as it was",
    "{model: a, layer_map: [[0, 4]]}": "has no new layers to leave out",
}


@pytest.mark.parametrize("recipe", REFUSED)
def test_what_cant_be_taken_back_says_why(tmp_path: Path, recipe: str) -> None:
    _, output = _expanded(recipe, tmp_path)
    with pytest.raises(UsageError, match=REFUSED[recipe]):
        undoing_recipe(output)


def test_a_scaled_original_cant_be_taken_back(tmp_path: Path) -> None:
    recipe = (
        "slices:\n- sources: [{model: a, layer_range: [0, 4], parameters: {scale: 0.5}}]\n"
        "- sources: [{model: a, layer_range: [2, 4]}]\nmerge_method: passthrough\n"
    )
    pytest.importorskip("torch")
    _, output = _expanded(recipe, tmp_path)
    with pytest.raises(UsageError, match="doesn't have layer 0 of a as it was"):
        undoing_recipe(output)
