"""Reference pages say what the program does."""

import inspect
import json
import re
from pathlib import Path

import pytest

from distexpand.api import run_plan
from distexpand.batch import document as batch_document
from distexpand.planning.codec import operations as codec_operations
from distexpand.planning.codec.plans import encode_plan
from distexpand.recipe import adapter_config, mergekit, shorthand
from docs.generate.pages import PAGES, REFERENCE
from tests.api.small import BLOCKS, small_model, small_plan
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


def test_the_formats_page_has_the_keys_of_manifests_and_plans(tmp_path: Path) -> None:
    planned = small_plan(BLOCKS, small_model(tmp_path / "a"))
    run_plan(planned, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "distexpand.json").read_text())
    page = REFERENCE / "manifest-and-plan.md"
    layer = set(manifest["layers"][0])
    assert documented(page, "The manifest") == manifest.keys() | layer
    assert documented(page, "The plan") == json.loads(encode_plan(planned)).keys()


def test_the_formats_page_has_every_kind_of_operation() -> None:
    source = inspect.getsource(codec_operations.encode_operation)
    source += inspect.getsource(codec_operations._encode_elementwise)
    written = set(re.findall(r'\[\s*"(\w+)",\s*operation\.offset', source))
    assert documented(REFERENCE / "manifest-and-plan.md", "Operations") == written
