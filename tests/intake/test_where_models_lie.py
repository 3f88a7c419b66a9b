"""A model's place: what the command line says, else a directory of that name, else a message that helps."""

import pytest

from distexpand.errors import UsageError
from distexpand.intake.locate import default_model, locate, parse_assignment, pinned, unused_places
from distexpand.recipe.canonical import ModelRef

PLAIN = ModelRef(name="org/model")
PINNED = ModelRef(name="org/model", revision="v1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("base=/models/base", ("base", "/models/base")),
        ("org/model@v1=x", ("org/model@v1", "x")),
        ("/models/base", ("", "/models/base")),
        ("a=b=c", ("a", "b=c")),
    ],
)
def test_assignment(text, expected):
    assert parse_assignment(text) == expected


@pytest.mark.parametrize("text", ["", "base=", "="])
def test_empty_path_is_refused(text):
    with pytest.raises(UsageError, match="the path is empty"):
        parse_assignment(text)


def test_place_by_name_with_or_without_revision(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    places = {"org/model": str(one), "org/model@v1": str(two)}
    assert locate(PLAIN, places).location == str(one)
    assert locate(PINNED, places).location == str(two)
    assert locate(PINNED, {"org/model": str(one)}).location == str(one)


def test_a_directory_of_the_models_name(tmp_path, monkeypatch):
    (tmp_path / "org" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert locate(PLAIN, {}).location == str(tmp_path / "org" / "model")


def test_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate(PLAIN, {"org/model": "~"}).location == str(tmp_path)


@pytest.mark.parametrize("place", ["missing", "~no-such-user-anywhere/model", "x" * 5000, "a\0b", "file"])
def test_place_that_is_no_directory(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UsageError, match=r": (no such|a file, not a) directory, given for the model org/model"
    ):
        locate(PLAIN, {"org/model": place})


@pytest.mark.parametrize("name", ["model", "a/b/c", "x" * 5000, "~no-such-user-anywhere", "a\0b"])
def test_model_that_is_nowhere(name):
    with pytest.raises(UsageError, match="is not a directory here") as error:
        locate(ModelRef(name=name), {})
    assert f"--model {name}=PATH" in error.value.hint


def test_names_that_no_model_has():
    assert unused_places({"a": "x", "": "y", "org/model@v1": "z"}, (PINNED,)) == ["a"]


def test_addresses_and_names_of_the_hub_are_no_paths():
    for place in ("hf://org/model@v2", "org/model@v2"):
        name, places = default_model({"": place})
        assert name == ModelRef(name="org/model", revision="v2")
        assert places == {"org/model@v2": place}
    assert default_model({"": "s3://bucket/models/mine"})[0] == ModelRef(name="mine")
    assert default_model({"": "s3://bucket"})[0] == ModelRef(name="bucket")


def test_a_directory_goes_before_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "model").mkdir(parents=True)
    assert default_model({"": "org/model"})[0] == ModelRef(name="model")
    assert locate(ModelRef(name="x"), {"x": f"file://{tmp_path}/org"}).location == str(tmp_path / "org")


def test_a_store_of_the_hub_pins_its_model():
    commit = "0123456789abcdef0123456789abcdef01234567"

    class Store:
        location = f"hf://org/model@{commit}"

    assert pinned(PINNED, Store()) == ModelRef(name="org/model", revision=commit)
    assert pinned(ModelRef(name="hf://org/model"), Store()) == ModelRef(name="org/model", revision=commit)
    assert pinned(ModelRef(name="mine"), Store()) == ModelRef(name="mine", revision=commit)
