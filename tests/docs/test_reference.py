"""Reference pages say what the program does."""

import pytest

from distexpand.batch import document as batch_document
from distexpand.recipe import adapter_config, mergekit, shorthand
from docs.generate.pages import PAGES, REFERENCE
from tests.docs.blocks import ROOT
from tests.docs.recipe_keys import documented


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_what_the_program_gives(name: str) -> None:
    stored = (REFERENCE / name).read_text(encoding="utf-8")
    assert stored == PAGES[name](), "run `make reference`"


@pytest.mark.parametrize(
    ("section", "keys"),
    [
        ("mergekit's form", mergekit.KEYS),
        ("Shorthand", shorthand.KEYS),
        ("Adapter configs", adapter_config.KEYS),
    ],
)
def test_the_recipe_page_has_the_keys_that_the_parser_takes(section: str, keys: tuple[str, ...]) -> None:
    assert documented(REFERENCE / "recipe.md", section) == set(keys)


@pytest.mark.parametrize(
    ("section", "keys"), [("The file", batch_document.KEYS), ("An expansion", batch_document.ENTRY_KEYS)]
)
def test_the_batch_page_has_the_keys_that_the_parser_takes(section: str, keys: tuple[str, ...]) -> None:
    assert documented(REFERENCE / "batch-file.md", section) == set(keys)


def test_every_module_of_the_generator_is_there_for_a_page() -> None:
    modules = {path.stem for path in (ROOT / "docs/generate").glob("*.py")} - {"__main__", "pages"}
    assert modules == {name.removesuffix(".md").replace("-", "_") for name in PAGES}
