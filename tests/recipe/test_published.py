import pytest

from distexpand.recipe.canonical import ModelRef
from distexpand.recipe.lint import lint_recipe
from distexpand.recipe.lower import lower
from distexpand.recipe.parse import parse_recipe
from distexpand.recipe.render import canonical_yaml
from tests.recipe.published import CONFIGS, PUBLISHED

EVERY = pytest.mark.parametrize("name", PUBLISHED)
LINT = {"bigllama-3.1-1t": ["dropped-layers"]}


def parsed(name):
    row = PUBLISHED[name]
    default = ModelRef(name=row.default_model) if row.default_model else None
    draft = parse_recipe(row.text, origin=row.file, default_model=default)
    return draft, dict.fromkeys(draft.layered_models, row.source_layers)


@EVERY
def test_layer_count(name):
    draft, counts = parsed(name)
    assert len(lower(draft, counts).layers) == PUBLISHED[name].layers


@EVERY
def test_round_trip(name):
    draft, counts = parsed(name)
    recipe = lower(draft, counts)
    text = canonical_yaml(recipe)
    assert lower(parse_recipe(text, origin="canonical"), counts) == recipe


@EVERY
def test_lint(name):
    draft, counts = parsed(name)
    findings = lint_recipe(lower(draft, counts), counts)
    assert [finding.code for finding in findings] == LINT.get(name, [])


@EVERY
def test_header_names_source_and_layer_count(name):
    row = PUBLISHED[name]
    if row.file.endswith(".yml"):
        header = [line for line in row.text.splitlines() if line.startswith("# ")]
        assert "https://" in header[1]
        assert f"{row.layers} layers" in header[2]


def test_every_file_is_in_the_tables():
    files = {path.name for path in CONFIGS.iterdir()} - {"README.md"}
    assert files == {row.file for row in PUBLISHED.values()}
    readme = (CONFIGS / "README.md").read_text()
    for name, row in PUBLISHED.items():
        (line,) = [line for line in readme.splitlines() if line.startswith(f"| `{name}` |")]
        assert f"| {row.layers} |" in line


def test_bigllama_1t_drops_the_last_layer_of_its_source():
    draft, counts = parsed("bigllama-3.1-1t")
    (finding,) = lint_recipe(lower(draft, counts), counts)
    assert "layer 209 of mlabonne/BigLlama-3.1-681B-Instruct (210 layers)" in finding.message


def test_goliath_alternates_and_takes_its_ends_from_xwin():
    draft, counts = parsed("goliath-120b")
    recipe = lower(draft, counts)
    xwin, euryale = draft.models
    assert (recipe.base_model, recipe.tokenizer) == (xwin, xwin)
    assert [part.sources[0].model for part in (recipe.embeddings, recipe.head)] == [xwin, xwin]
    assert recipe.layers[16].sources[0].model == euryale


def test_professor_has_its_dummy_sources_at_weight_zero():
    draft, counts = parsed("theprofessor-155b")
    recipe = lower(draft, counts)
    for part in (recipe.embeddings, recipe.layers[0], recipe.layers[-1], recipe.head):
        assert [source.weight[0].value for source in part.sources] == [1.0, 0.0]
    assert str(recipe.tokenizer) == "cognitivecomputations/dolphin-2.2-70b"
    assert all(len(part.sources) == 1 for part in recipe.layers[1:-1])


def test_llama_pro_stands_after_every_fourth_layer():
    draft, counts = parsed("llama-pro-8b")
    recipe = lower(draft, counts)
    copies = [place for place, part in enumerate(recipe.layers) if part.identity]
    assert copies == [4, 9, 14, 19, 24, 29, 34, 39]
    assert [recipe.layers[place].sources[0].layer for place in copies] == [3, 7, 11, 15, 19, 23, 27, 31]
