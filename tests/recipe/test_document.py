import time

import pytest

from distexpand.errors import RecipeError
from distexpand.recipe.document import MAX_CHARACTERS, MAX_DEPTH, read_document
from tests.recipe.lowered import layer_indices, lowered, scale_of

SLICES = "slices:\n- sources:\n  - model: a\n    layer_range: [0, 2]\nmerge_method: passthrough\n"


def read(text):
    return read_document(text, origin="r.yml", keywords={"slices", "dtype"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "r.yml: found nothing at the top level"),
        ("# only a comment\n", "found nothing at the top level"),
        ("- a\n- b\n", "found a list at the top level; expected a mapping"),
        ("just text", "found a single value at the top level"),
        ("a: 1\n---\nb: 2\n", "expected a single document"),
        ("a: [1, 2\n", "line 2, column 1: not valid YAML or JSON"),
        ("a: 'open", "not valid YAML or JSON"),
        ("a: \x00", "not valid YAML or JSON"),
        ("a: \ud800", "not valid YAML or JSON"),
        ("a: @x", "not valid YAML or JSON"),
        ("a: *nowhere", "undefined alias"),
        (
            "a: !!python/object/apply:os.system ['true']",
            "line 1: the tag `!!python/object/apply:os.system` is refused",
        ),
        ("a: !!python/name:os.system ''", "is refused"),
        ("a: !!python/object:object {}", "is refused"),
        ("a: !!binary aGk=", "the tag `!!binary` is refused"),
        ("a: !!set {x}", "the tag `!!set` is refused"),
        ("a: !own {}", "the tag `!own` is refused"),
        ("!!python/object:object {}", "is refused"),
        ("a: !!int x", "line 1: found 'x', which is no valid int"),
        ("a: !!float ''", "no valid float"),
        ("a: !!bool maybe", "no valid bool"),
        ("a: " + "9" * 5000, "no valid int"),
        ("a: 1\nb: 2\na: 3\n", "line 3: the key `a` occurs twice"),
        ("a:\n  b: 1\n  b: 1\n", "line 3: the key `b` occurs twice"),
        ('{"a": 1, "a": 2}', "the key `a` occurs twice"),
        ("x: &x {}\na:\n  <<: *x\n  <<: *x\n", "line 4: the key `<<` occurs twice"),
        ("dtype: &a 1\ndtype: &b 2\nz: [*a, *b]\n", "line 2: the key `dtype` occurs twice"),
        ("? [a, b]\n: 1\n", "a mapping's key must be plain text"),
        ("a: {<<: 3}", "`<<` takes a mapping or a list of mappings"),
        ("a: {<<: [{}, 3]}", "`<<` takes a mapping or a list of mappings"),
        ("a: &a [*a]", "an alias refers to a block that contains it"),
        ("a: &a\n  b: *a\n", "an alias refers to a block that contains it"),
        ("a: &a\n  <<: *a\n", "an alias refers to a block that contains it"),
        ("a: " + "[" * 100 + "]" * 100, f"nested deeper than {MAX_DEPTH} levels"),
        ("a: " + "[" * 200_000, f"nested deeper than {MAX_DEPTH} levels"),
        ('{"a":' * 50_000, f"nested deeper than {MAX_DEPTH} levels"),
        ("a" * (MAX_CHARACTERS + 1), "a recipe has at most 10,000,000"),
    ],
)
def test_refused(text, message):
    with pytest.raises(RecipeError) as caught:
        read(text)
    assert message in caught.value.message
    assert caught.value.message.startswith("r.yml: ")
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "text", ["\ufeffa: 1", '\n {\n\t"a":\t1\n}', "---\na: 1\n...\n", "%YAML 1.1\n---\na: 1"]
)
def test_accepted_forms(text):
    assert read(text).data == {"a": 1}


def test_scalars_are_plain_data():
    data = read("{i: 0x10, f: 1.5, e: 1e3, n: ~, b: true, d: 2024-01-01, q: '1', v: =}").data
    assert data == {
        "i": 16,
        "f": 1.5,
        "e": "1e3",
        "n": None,
        "b": True,
        "d": "2024-01-01",
        "q": "1",
        "v": "=",
    }


def test_merge_keys():
    data = read("x: &x {p: 1, q: 1}\ny: &y {q: 2, r: 2}\na: {q: 0, <<: *y}\nb: {<<: [*x, *y], s: 3}\n").data
    assert data["a"] == {"q": 0, "r": 2}
    assert data["b"] == {"p": 1, "q": 1, "r": 2, "s": 3}


def test_alias_bombs_are_linear():
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 50))
    merges = "m0: &m0 {x: 1}\n" + "".join(
        f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 50)
    )
    begin = time.monotonic()
    with pytest.raises(RecipeError) as caught:
        lowered(bomb + "slices: *a49\nmerge_method: passthrough\n")
    assert len(caught.value.message) < 300
    assert read(merges).data["m49"] == {"x": 1}
    assert time.monotonic() - begin < 2


def test_definitions_are_the_keys_used_elsewhere():
    text = "used: &a 1\ninner: {deep: [&b 2]}\nself: {x: &c 3, y: *c}\nunused: &d 4\nuser: [*a, *b]\n"
    assert read(text).definitions == {"used", "inner"}


def test_a_key_of_definitions_may_stand_several_times():
    text = (
        "const: &a org/a\nconst: &b 0.5\n"
        + SLICES.replace("model: a", "model: *a")
        + "parameters: {scale: *b}\n"
    )
    recipe = lowered(text)
    assert str(recipe.base_model) == "org/a"
    assert scale_of(recipe.layers[0], "x") == 0.5
    with pytest.raises(RecipeError, match=r"line 2: the key `const` occurs twice"):
        lowered("const: &a org/a\nconst: 0.5\n" + SLICES.replace("model: a", "model: *a"))


def test_attenuated_recipe_as_published():
    """The form of Llama-3-13B-Instruct-attenuated and Deep-Miqu-103B."""
    recipe = lowered(
        """
const_tag: &MODEL1 org/dawn
const_tag: &MODEL2 org/dark
const_tag: &scale_factor 0.7071067812 # 1/sqrt(2)
attenuate-env: &attenuated_env
  parameters:
    scale:
      - filter: q_proj
        value: *scale_factor
      - filter: k_proj
        value: *scale_factor
      - value: 1.0
slices:
  - sources:
    - model: *MODEL1
      layer_range: [0, 4]
  - sources:
    - model: *MODEL2
      layer_range: [2, 8]
      <<: *attenuated_env
merge_method: passthrough
dtype: float16
"""
    )
    assert layer_indices(recipe) == [0, 1, 2, 3, 2, 3, 4, 5, 6, 7]
    assert [str(model) for model in recipe.models()] == ["org/dawn", "org/dark"]
    assert scale_of(recipe.layers[3], "q_proj") == 1.0
    assert scale_of(recipe.layers[4], "q_proj") == 0.7071067812
    assert scale_of(recipe.layers[4], "v_proj") == 1.0


def test_an_unused_definition_is_an_unknown_key():
    with pytest.raises(RecipeError, match="mispelt: unknown key"):
        lowered("mispelt: &a 1\n" + SLICES)
    with pytest.raises(RecipeError, match="dtyp: unknown key; did you mean `dtype`"):
        lowered("x: &a float16\ndtyp: *a\n" + SLICES)
