"""What the facts table claims, proven on real models: layers made identities change nothing.

A choice of classes that exercises every fact runs always, all classes with `-m slow`.
"""

import os
from pathlib import Path

import pytest

from distexpand.architecture.residual.facts import FACTS
from distexpand.architecture.residual.places import PLACE_RULES
from tests.architecture.facts_exercised import changed_by
from tests.architecture.layer_names import described, layer_kinds

os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

from tests.architecture.identity_in_place import build

CLASSES = layer_kinds()

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def _choice() -> list[str]:
    """Return few classes that exercise every fact between them."""
    by_class: dict[str, set[int]] = {name: set() for name in CLASSES}
    for number, fact in enumerate(FACTS):
        for name in changed_by(fact, CLASSES):
            by_class[name].add(number)
    left = set().union(*by_class.values())
    chosen = []
    while left:
        best = max(sorted(by_class), key=lambda name: len(by_class[name] & left))
        chosen.append(best)
        left -= by_class[best]
    return chosen


CHOICE = _choice()
REST = [name for name in CLASSES if name not in CHOICE]


def _check(directory: Path, name: str) -> None:
    model = build(directory, name)
    refused = model.make_identities()
    changes = model.changes_made()
    every = set(range(model.stack.num_layers))
    assert changes.keys() == every or (
        model.auto == "image-text" and changes.keys() < every
    )  # needs a picture
    if model.config.get("model_type") not in PLACE_RULES:
        assert all(change == 0 for index, change in changes.items() if index not in refused)
    assert all(changes[index] > 1e-4 for index in refused)


@pytest.mark.parametrize("name", CHOICE)
def test_classes_that_exercise_every_fact(tmp_path: Path, name: str) -> None:
    _check(tmp_path / "model", name)


@pytest.mark.slow
@pytest.mark.parametrize("name", REST)
def test_all_others(tmp_path: Path, name: str) -> None:
    _check(tmp_path / "model", name)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSES)
def test_the_file_of_names_is_true(tmp_path: Path, name: str) -> None:
    model = build(tmp_path / "model", name)
    document = described(model)
    taken_down = [{suffix: dtype.value for suffix, dtype in kind.dtypes.items()} for kind in CLASSES[name]]
    found = [
        {suffix: dtype for dtype, listed in kind.items() for suffix in listed.split()}
        for kind in document["kinds"]
    ]
    assert found == taken_down
    assert document["config"] == CLASSES[name][0].config
