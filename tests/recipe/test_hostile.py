"""Whatever stands in a recipe, the answer is a recipe or a RecipeError, short and soon."""

import copy
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from distexpand.errors import RecipeError
from tests.recipe.lowered import lowered
from tests.recipe.published import PUBLISHED
from tests.recipe.strategies import LAYERS, documents, unhurried

anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(["*", "base", "union", "a+b", "passthrough", 10**400, -1, 0]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["model", "scale", "filter", "value", "sources", "<<", "slices"]), inner
        ),
    ),
    max_leaves=6,
)


def places(value):
    """Yield every place in nested data, as the container and the key or index."""
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in entries:
        yield value, key
        yield from places(inner)


def attempt(text):
    message = "recipe.yml: "
    try:
        lowered(text, num_layers=LAYERS)
    except RecipeError as error:
        message = error.message
    assert message.startswith("recipe.yml: ")
    assert len(message) < 500


@unhurried
@given(documents, anything, st.data())
def test_any_value_replaced_by_anything(document, other, data):
    document = copy.deepcopy(document)
    container, key = data.draw(st.sampled_from(list(places(document))))
    container[key] = other
    attempt(yaml.dump(document, Dumper=Hexadecimal))


@unhurried
@given(st.text(alphabet=st.characters(codec=None), max_size=200))
def test_any_text(text):
    attempt(text)


@unhurried
@given(st.data())
def test_published_text_with_a_piece_missing_or_repeated(data):
    text = PUBLISHED["theprofessor-155b"].text[300:1500]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    piece = data.draw(
        st.sampled_from(["", "\t", ": ", "- ", "*", "&x ", "{", "[", "!!", "<<: ", text[start:end] * 2])
    )
    attempt(text[:start] + piece + text[end:])


class Hexadecimal(yaml.SafeDumper):
    """Writes large numbers in hexadecimal, which Python reads at any length."""


Hexadecimal.add_representer(
    int,
    lambda dumper, value: dumper.represent_scalar(
        "tag:yaml.org,2002:int", hex(value) if abs(value) > 10**20 else str(value)
    ),
)


HUGE = "0x" + "F" * 5000


@pytest.mark.parametrize(
    "text",
    [
        f"slices: [{{sources: [{{model: a, layer_range: [0, {HUGE}]}}]}}]\nmerge_method: passthrough",
        f"merge_method: linear\nslices: [{{repeat: {HUGE}, sources: [{{model: a, layer_range: [0, 1]}}]}}]",
        f"model: a\ndepth_up_scaling: {{cut: {HUGE}}}",
        f"model: a\nblock_expansion: {{after: [{HUGE}]}}",
        f"model: {HUGE}\nblock_expansion: {{blocks: {HUGE}}}",
        f"merge_method: {HUGE}\nslices: []",
        f"{HUGE}: {HUGE}",
        f"slices: []\nmerge_method: passthrough\nparameters: {{scale: -{HUGE}}}",
    ],
)
def test_numbers_that_python_will_not_print(text):
    attempt(text)


@pytest.mark.parametrize("size", [30_000])
def test_long_documents_take_no_long_time(size):
    attempt("merge_method: passthrough\nslices: [" + "{}," * size + "]")
    attempt(json.dumps({"layer_map": [[0, 1]] * size}))
    attempt(
        "x: &x {sources: [{model: a, layer_range: [0, 1]}]}\nmerge_method: passthrough\nslices: ["
        + "*x," * size
        + "]"
    )
