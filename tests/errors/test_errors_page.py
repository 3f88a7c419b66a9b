"""docs/errors.md: a section for every kind of error, and its messages are what the program says."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import distexpand
from distexpand.errors import DistexpandError
from tests.errors.examples import EXAMPLES, RAISED_ELSEWHERE
from tests.errors.world import raised_by

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^## (\w+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
PART = re.compile(r"^### (.+?)\n\n```text\n(.*?)\n```\n(.*?)(?=^###? |\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = dict(SECTION.findall(PAGE))
PARTS = {
    heading: (kind, message, text)
    for kind, body in SECTIONS.items()
    for heading, message, text in PART.findall(body)
}


def _all_kinds() -> dict[str, type[DistexpandError]]:
    for module in pkgutil.walk_packages(distexpand.__path__, "distexpand."):
        if module.name not in {"distexpand.__main__", "distexpand.proof.child", "distexpand.batch.child"}:
            try:
                importlib.import_module(module.name)
            except ImportError:
                pytest.skip(f"{module.name} needs a library that isn't installed")
    found: dict[str, type[DistexpandError]] = {}
    waiting = [DistexpandError]
    while waiting:
        kind = waiting.pop()
        found[kind.__name__] = kind
        waiting += kind.__subclasses__()
    return {name: kind for name, kind in found.items() if kind.__module__.startswith("distexpand")}


def test_every_kind_of_error_has_its_section_and_exit_code() -> None:
    kinds = _all_kinds()
    assert set(SECTIONS) == set(kinds)
    for name, kind in kinds.items():
        assert SECTIONS[name].strip().startswith(f"Exit code {kind.exit_code}. "), name


def test_every_kind_has_an_example_here_or_elsewhere() -> None:
    shown = {kind for kind, _, _ in PARTS.values()} | {kind.__name__ for kind in RAISED_ELSEWHERE}
    assert shown | {"DistexpandError"} == set(SECTIONS)


def test_every_part_has_an_example_a_cause_and_a_remedy() -> None:
    assert set(PARTS) == set(EXAMPLES)
    assert PAGE.count("### ") == len(PARTS)
    for _, _, text in PARTS.values():
        assert re.search(r"\*Cause\.\* .*\*Remedy\.\* ", text, re.DOTALL)


@pytest.mark.parametrize("heading", EXAMPLES)
def test_the_message_is_what_the_program_says(heading: str, tmp_path: Path) -> None:
    if "cluster" in heading:
        pytest.importorskip("ray", reason="needs pip install 'distexpand[ray]'")
    kind, message = raised_by(EXAMPLES[heading], tmp_path)
    assert (kind.__name__, message) == PARTS[heading][:2]
