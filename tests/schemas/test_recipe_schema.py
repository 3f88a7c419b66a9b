"""The recipe's schema and its parser agree: what runs isn't underlined, a slip of structure is."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.recipe import adapter_config, mergekit, shorthand
from tests.recipe.published import CONFIGS, PUBLISHED
from tests.recipe.strategies import linear_documents, passthrough_documents, shorthand_documents, unhurried
from tests.schemas.judges import parser_refusal, recipe_data, schema_accepts, validator

ADAPTER = {
    "peft_type": "LORA",
    "r": 8,
    "base_model_name_or_path": "org/a",
    "layer_replication": [[0, 2], [1, 3]],
}
DATA = st.one_of(passthrough_documents(), linear_documents(), shorthand_documents(), st.just(ADAPTER)).map(
    lambda document: json.loads(json.dumps(document))
)
_SOME = settings(unhurried, max_examples=50)
STRANGE = st.sampled_from([{"strange": [[]]}, [[[{}]]], True])


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.*")), ids=lambda path: path.name)
def test_every_published_recipe_is_valid(path: Any) -> None:
    if path.suffix == ".md":
        pytest.skip("not a recipe")
    errors = [error.message for error in validator("recipe").iter_errors(recipe_data(path.read_text()))]
    assert not errors


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes_in_their_own_spelling_are_valid(name: str) -> None:
    assert schema_accepts(recipe_data(PUBLISHED[name].text))


@_SOME
@given(DATA)
def test_what_the_parser_takes_is_valid(data: dict[str, Any]) -> None:
    assert parser_refusal(data) or schema_accepts(data)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, (*path, index))


def _at(data: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        data = data[step]
    return data


@_SOME
@given(DATA, st.data())
def test_an_unknown_key_is_refused_by_both(data: dict[str, Any], draw: st.DataObject) -> None:
    mappings = [path for path in _places(data) if isinstance(_at(data, path), dict)]
    path = draw.draw(st.sampled_from(mappings))
    mistaken = copy.deepcopy(data)
    _at(mistaken, path)["layer_rnage"] = [[0]]
    expected = data == ADAPTER
    assert schema_accepts(mistaken) is expected
    assert (not parser_refusal(mistaken)) is expected


@_SOME
@given(DATA, st.data(), STRANGE)
def test_a_value_of_the_wrong_kind_is_refused_by_both(
    data: dict[str, Any], draw: st.DataObject, strange: Any
) -> None:
    path = draw.draw(st.sampled_from([path for path in _places(data) if path]))
    mistaken = copy.deepcopy(data)
    _at(mistaken, path[:-1])[path[-1]] = strange
    refusal = parser_refusal(mistaken)
    assert schema_accepts(mistaken) is not bool(refusal) or _is_about_meaning(refusal)


def _is_about_meaning(refusal: str) -> bool:
    """Whether a refusal is about what values say together, which no schema knows."""
    return any(words in refusal for words in ("needs a weight for every tensor", "without an adapter"))


@_SOME
@given(DATA, st.data())
def test_a_key_left_out_is_missed_by_both(data: dict[str, Any], draw: st.DataObject) -> None:
    keys = [path for path in _places(data) if path and isinstance(path[-1], str)]
    path = draw.draw(st.sampled_from(keys))
    shorter = copy.deepcopy(data)
    del _at(shorter, path[:-1])[path[-1]]
    refusal = parser_refusal(shorter)
    assert schema_accepts(shorter) is not bool(refusal) or _is_about_meaning(refusal)


def test_the_schema_has_the_parsers_own_keys() -> None:
    definitions = json.loads(json.dumps(validator("recipe").schema["definitions"]))

    def supported(name: str) -> set[str]:
        found = definitions[name]["properties"]
        return {key for key, value in found.items() if value.get("type") != "null"}

    def refused(name: str) -> set[str]:
        return set(definitions[name]["properties"]) - supported(name)

    assert supported("passthrough_recipe") == set(mergekit.KEYS)
    assert supported("linear_recipe") == set(mergekit.KEYS) - {"attenuate_duplicates"}
    assert refused("passthrough_recipe") == set(mergekit._REFUSED_KEYS)
    assert supported("shorthand_recipe") == set(shorthand.KEYS)
    assert refused("shorthand_recipe") == set(shorthand._REFUSED_KEYS)
    assert supported("adapter_recipe") == set(adapter_config.KEYS)
    for method, within in mergekit._OUTER_PARAMETERS.items():
        assert supported(f"{method.value}_parameters") == set(within)
    forms = [next(iter(form["required"])) for form in definitions["shorthand_recipe"]["oneOf"]]
    assert tuple(forms) == shorthand.FORMS


def test_an_editor_s_comment_changes_nothing() -> None:
    text = "# yaml-language-server: $schema=recipe.json\nmodel: a\nlayer_map: [[0, 2], [1, 3]]\n"
    assert recipe_data(text) == yaml.safe_load(text)
    assert schema_accepts(recipe_data(text))
