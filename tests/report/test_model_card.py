import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from distexpand.report.model_card import code_span, fenced, model_card, short_name, yaml_quoted
from tests.report.stacks import GOLIATH, interleaved, names, origin, stack, stacks

RECIPE = "method: passthrough\nlayers:\n- model: m\n"


def card(layers=None, **changes):
    arguments = {
        "title": "Goliath",
        "recipe": RECIPE,
        "layers": stack(GOLIATH) if layers is None else layers,
        "layer_prefix": "model.layers.",
        "parameters": 117_749_243_904,
        "source_parameters": 68_976_648_192,
        "base_models": ("Xin/Xwin-LM-70B-V0.1", "Sao10K/Euryale-1.3-L2-70B"),
        "license_name": None,
    }
    return model_card(**{**arguments, **changes})


def front_matter(text):
    _, matter, _ = re.split(r"^---$", text, maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(matter)


def outside_code(text):
    """The card without its code blocks, found as CommonMark finds them."""
    lines, fence = [], None
    for line in text.split("\n"):
        mark = re.match(r"`{3,}", line)
        if fence is None and mark:
            fence = mark.group()
        elif fence is not None and re.fullmatch(rf"{fence}`*\s*", line):
            fence = None
        elif fence is None:
            lines.append(line)
    assert fence is None
    return lines


def test_front_matter():
    assert front_matter(card(license_name="llama2")) == {
        "base_model": ["Xin/Xwin-LM-70B-V0.1", "Sao10K/Euryale-1.3-L2-70B"],
        "library_name": "transformers",
        "tags": ["distexpand", "merge"],
        "license": "llama2",
    }


@given(st.lists(names(), max_size=4).map(tuple), st.none() | names(), names())
def test_front_matter_is_yaml_whatever_the_names(base_models, license_name, title):
    text = card(base_models=base_models, license_name=license_name, title=title)
    matter = front_matter(text)
    assert set(matter) <= {"base_model", "library_name", "tags", "license"}
    assert matter["tags"] == ["distexpand", "merge"]
    if license_name is not None:
        assert matter["license"] == license_name


@given(names())
def test_quoted_yaml_reads_back(name):
    assert yaml.safe_load(yaml_quoted(name)) == name


def test_only_what_can_be_a_repository_is_a_base_model():
    matter = front_matter(
        card(base_models=("a/b@main", "a/b", "/home/me/model", "../x", "a/b/c", "gpt2", "a b"))
    )
    assert matter["base_model"] == ["a/b", "gpt2"]
    assert "base_model" not in front_matter(card(base_models=("./local",)))


@given(names(), names(), st.text(max_size=200))
def test_names_and_recipes_break_nothing(name, transform, recipe):
    layers = (origin(name, 0), origin(name, 1, copy=1, transforms=(transform,), others=(f"{name}:7",)))
    lines = outside_code(card(layers, title=name, recipe=recipe))
    assert [line for line in lines if line.startswith("## ")] == [
        "## Layers",
        "## Recipe",
        "## Make it again",
        "## Check it",
    ]
    assert sum(line.startswith("# ") for line in lines) == 1
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 3
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)


@pytest.mark.parametrize("text", ["```", "a\n````\nb", "x `` y"])
def test_code_can_not_end_its_block(text):
    assert outside_code(fenced(text, "text")) == []


def test_code_spans():
    assert code_span("a/b") == "`a/b`"
    assert code_span("a`b") == "``a`b``"
    assert code_span("`a") == "`` `a ``"


@given(stacks())
def test_the_new_layers_are_listed(layers):
    (line,) = [line for line in outside_code(card(layers)) if line.startswith(("New layers", "No layer is"))]
    listed = set()
    for first, last in re.findall(
        "(\\d+)(?:\N{EN DASH}(\\d+))?[,.]", line.partition(":")[2].partition(" To train")[0]
    ):
        listed.update(range(int(first), int(last or first) + 1))
    assert listed == {number for number, layer in enumerate(layers) if layer.new}


def test_the_card_says_what_was_done():
    text = card(interleaved("HuggingFaceTB/SmolLM2-135M", 32, 8), recipe=RECIPE)
    assert "A model of 40 layers and 117.7B parameters" in text
    assert "8 identity blocks among them" in text
    assert "| 4 | `HuggingFaceTB/SmolLM2-135M` | 3 | identity, zero: o_proj, down_proj |" in text
    assert "New layers (repeats and identity blocks): 4, 9, 14, 19, 24, 29, 34, 39." in text
    assert "`model.layers.4.`" in text
    assert f"```yaml\n{RECIPE}```" in text
    assert "distexpand verify OUT" in text
    assert text == card(interleaved("HuggingFaceTB/SmolLM2-135M", 32, 8), recipe=RECIPE)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("meta/Llama-3.1-8B", "Llama-3.1-8B"),
        ("gpt2", "gpt2"),
        ("/home/me/my model/", "my model"),
        ("../models/über_1", "über_1"),
        (".", "A model"),
        ("..", "A model"),
        ("/", "A model"),
        ("", "A model"),
        ("[x](http://e)", "A model"),
        ("<b>", "A model"),
        ("a\nb", "A model"),
    ],
)
def test_titles_name_a_model_or_none(model, expected):
    assert short_name(model) == expected
