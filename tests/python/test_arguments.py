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
