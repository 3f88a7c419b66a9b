"""What no call can mean is refused in words, before anything is opened or begun."""

from pathlib import Path
from typing import Any

import pytest

import distexpand
from tests.api.small import COPIES


@pytest.fixture
def made(model: Path, tmp_path: Path) -> Path:
    output = tmp_path / "made"
    distexpand.run(COPIES, output, models={"a": model}, check_load=False)
    return output


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        *(({"threads": count}, r"threads=.*from 1 to 256") for count in (0, -1, "2", True, 1.5, 257, None)),
        ({"stop": True}, r"stop=True: expected a threading\.Event"),
        ({"progress": "x"}, r"progress='x': expected a function"),
        ({"progress": 1}, r"progress=1: expected a function"),
    ],
)
def test_a_run_begins_nothing_with_what_it_can_t_use(
    argument: dict[str, Any], message: str, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(distexpand.UsageError, match=message):
        distexpand.run(COPIES, tmp_path / "out", models={"a": model}, check_load=False, **argument)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("argument", [{"threads": 0}, {"threads": 10**6}, {"progress": "x"}])
def test_a_check_begins_nothing_with_what_it_can_t_use(argument: dict[str, Any], made: Path) -> None:
    with pytest.raises(distexpand.UsageError, match=f"{next(iter(argument))}="):
        distexpand.verify(made, **argument)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": "words"}, "text is for identity=True"),
        ({"text": "words", "load": True}, "text is for identity=True"),
        ({"device": "cuda"}, "device is for identity=True"),
        ({"device": None}, "device is for identity=True"),
        ({"models": {"zz": "t"}}, "model is for sources=True or identity=True"),
        ({"trust_remote_code": True, "sources": True}, "trust_remote_code is for load=True or identity=True"),
        ({"identity": True, "text": ""}, "text='': holds no text"),
        ({"identity": True, "text": "  "}, "text='  ': holds no text"),
        ({"identity": True, "text": 3}, "text=3: expected a text"),
    ],
)
def test_a_check_is_given_nothing_in_vain(arguments: dict[str, Any], message: str, made: Path) -> None:
    with pytest.raises(distexpand.UsageError, match=message):
        distexpand.verify(made, **arguments)


def test_an_empty_place_is_not_the_current_folder(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for refused in (
        lambda: distexpand.run(COPIES, "", models={"a": model}, check_load=False),
        lambda: distexpand.verify(""),
        lambda: distexpand.inspect(""),
        lambda: distexpand.plan({"layer_map": [[0, 4]]}, model=""),
        lambda: distexpand.plan(COPIES, models={"a": ""}),
        lambda: distexpand.submit(COPIES, "", models={"a": "/models/a"}, address="http://127.0.0.1:9"),
    ):
        with pytest.raises(distexpand.UsageError, match=r"is empty|not an absolute path"):
            refused()
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": ["a"]}, r"models=\['a'\]: expected a mapping"),
        ({"models": {"a": None}}, r"models\['a'\]=None: expected a path or an address"),
        ({"models": {1: "a"}}, r"models: 1 is no name of a model"),
        ({"model": 3}, r"model=3: expected a path or an address"),
        ({"model": b"a"}, r"model=b'a': expected a path or an address"),
        ({"shard_size": 1.5}, r"shard_size 1\.5 is not a size"),
        ({"shard_size": True}, r"shard_size True is not a size"),
        ({"layout": 3}, r"layout 3: expected"),
    ],
)
def test_what_is_no_place_size_or_layout_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(distexpand.UsageError, match=message):
        distexpand.plan(COPIES, **arguments)


@pytest.mark.parametrize("recipe", [None, b"{model: a}", 3, ["model"]])
def test_what_is_no_recipe_is_named(recipe: Any, tmp_path: Path) -> None:
    for refused in (
        lambda: distexpand.plan(recipe),
        lambda: distexpand.run(recipe, tmp_path / "out"),
        lambda: distexpand.submit(recipe, "/out"),
    ):
        with pytest.raises(
            distexpand.UsageError,
            match=f"recipe as a path, a text or a mapping; found {type(recipe).__name__}",
        ):
            refused()


def test_what_is_no_output_or_model_is_named(model: Path) -> None:
    for refused in (
        lambda: distexpand.run(COPIES, None, models={"a": model}, check_load=False),  # type: ignore[arg-type]
        lambda: distexpand.verify(3),  # type: ignore[arg-type]
        lambda: distexpand.inspect(None),  # type: ignore[arg-type]
    ):
        with pytest.raises(distexpand.UsageError, match="expected a path or an address"):
            refused()


def test_a_plan_is_kept_and_no_recipe(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = distexpand.plan(COPIES, models={"a": model})
    with pytest.raises(distexpand.UsageError, match="this is a plan already"):
        distexpand.plan(planned)  # type: ignore[arg-type]
    with pytest.raises(distexpand.UsageError, match="only a plan can be kept; found dict"):
        distexpand.save_plan({"model": "a"}, tmp_path / "x.plan")  # type: ignore[arg-type]
    monkeypatch.setenv("HOME", str(tmp_path))
    distexpand.save_plan(planned, "~/kept.plan")
    assert distexpand.plan(tmp_path / "kept.plan") == planned


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "Finished shards are kept; go on with --resume.",
            "Finished shards are kept; go on with resume=True.",
        ),
        (
            "It has one; go on with --resume, or --overwrite.",
            "It has one; go on with resume=True, or overwrite=True.",
        ),
        ("choose a smaller --shard-size.", "choose a smaller shard_size."),
        ("Say where it lies: --model org/m.1=PATH", "Say where it lies: models={'org/m.1': 'PATH'}"),
        ("--model b=...: no such model", "models={'b': '...'}: no such model"),
        ("Name the model with --model PATH.", "Name the model with model='PATH'."),
        ("Call `distexpand run RECIPE OUT --resume`.", "Call `distexpand run RECIPE OUT --resume`."),
        ("its code runs with --trust-remote-code only", "its code runs with trust_remote_code=True only"),
    ],
)
def test_python_shows_arguments_where_the_command_line_shows_options(said: str, shown: str) -> None:
    assert str(distexpand.UsageError("wrong", hint=said)) == f"wrong\n{shown}"
    assert str(distexpand.UsageError(said)) == shown
    assert distexpand.UsageError("wrong", hint=said).hint == said


def test_what_a_run_in_the_way_says_can_be_typed_in_python(made: Path, model: Path) -> None:
    with pytest.raises(distexpand.UsageError, match=r"replace it with overwrite=True\."):
        distexpand.run(COPIES, made, models={"a": model}, check_load=False)
    with pytest.raises(
        distexpand.UsageError, match=r"^models=\{'zz': '\.\.\.'\}: the recipe names no such model"
    ):
        distexpand.plan(COPIES, models={"a": model, "zz": "t"})
