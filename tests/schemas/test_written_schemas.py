"""What runs write, and batch files, are as their schemas say; the schemas have the records' own fields."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.api import run_plan
from distexpand.batch.document import ENTRY_KEYS, KEYS, parse_batch
from distexpand.commit.manifest import Manifest, ShardRecord
from distexpand.errors import RecipeError
from distexpand.planning.codec.plans import encode_plan
from distexpand.planning.model import CopiedFile, LayerOrigin, Plan, ShardPlan, SourceFile, TextFile
from distexpand.python.planning import plan
from distexpand.python.saved_plan import encode_saved
from distexpand.schemas import SCHEMAS, schema_text
from tests.api.small import BLOCKS, COPIES, SCALED, TWO_SOURCES, small_model
from tests.cli.calls import Cli, call
from tests.recipe.strategies import unhurried
from tests.schemas.judges import validator


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: small_model(folder / name, seed=seed) for seed, name in enumerate("ab")}


@pytest.mark.parametrize("recipe", [BLOCKS, COPIES, SCALED, TWO_SOURCES, "linear"])
def test_what_a_run_writes_is_valid(recipe: str, models: dict[str, Path], tmp_path: Path) -> None:
    if recipe == "linear":
        sources = [{"model": name, "layer_range": [0, 4], "parameters": {"weight": 0.5}} for name in models]
        given_recipe: Any = {"merge_method": "linear", "slices": [{"sources": sources}]}
    else:
        given_recipe = recipe
    used = models if recipe in {"linear", TWO_SOURCES} else {"a": models["a"]}
    planned = plan(given_recipe, models=used, shard_size=5000)
    head, _, body = encode_saved(planned).partition(b"\n")
    assert body == encode_plan(planned.plan)
    validator("plan").validate(json.loads(body))
    schema = validator("plan").schema
    head_schema = {**schema["definitions"]["head"], "definitions": schema["definitions"]}
    validator("plan").evolve(schema=head_schema).validate(json.loads(head))
    run_plan(planned.plan, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "distexpand.json").read_text())
    validator("manifest").validate(manifest)
    del manifest["layers"][0]["copy"]
    assert not validator("manifest").is_valid(manifest)


def _properties(schema: str, definition: str = "") -> set[str]:
    found = json.loads(schema_text(schema))
    return set((found["definitions"][definition] if definition else found)["properties"])


def _fields(kind: Any) -> set[str]:
    return {field.name for field in fields(kind)}


def test_the_schemas_have_the_records_own_fields() -> None:
    written = {"format_version", "digest_algorithm", "manifest_digest"}
    assert _properties("manifest") == _fields(Manifest) | written
    assert _properties("manifest", "shard") == _fields(ShardRecord)
    assert _properties("plan") == _fields(Plan)
    assert _properties("plan", "shard") == _fields(ShardPlan)
    assert _properties("plan", "text") == _fields(TextFile)
    assert _properties("plan", "copied") == _fields(CopiedFile)
    for schema in ("manifest", "plan"):
        assert _properties(schema, "layer") == _fields(LayerOrigin)
        assert _properties(schema, "source") == _fields(SourceFile)
    assert _properties("batch") == set(KEYS)
    assert _properties("batch", "expansion") == set(ENTRY_KEYS)


_texts = st.sampled_from(["r.yml", "out", "/x/y", "", " "])
_hooks = st.sampled_from(
    ["verify", ["verify"], ["rclone", "copy", "{output}"], [["a", "b"], "verify"], [], "other", [1], [[]], {}]
)
_entries = st.fixed_dictionaries(
    {},
    optional={
        "recipe": _texts,
        "output": st.sampled_from(["out", "other", 3]),
        "models": st.sampled_from([{"org/a": "/a"}, "/a", {"a=b": "/a"}, {"a": ""}, [], {"": "/a"}]),
        "shard_size": st.sampled_from(["5GB", "500MB", 10**9, True, [], "many", None]),
        "layout": st.sampled_from(["layers", "by-source", "by_source", 1]),
        "overwrite": st.sampled_from([True, False, 0, 1, "yes", 2]),
        "after": _hooks,
        "before": _hooks,
    },
)
_batches = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["s.json", "", 1]),
        "at_once": st.sampled_from([1, 256, 257, 0, "2", True]),
        "retries": st.sampled_from([0, 3, -1, 1.5]),
        "after_each": _hooks,
        "expansions": st.one_of(st.lists(_entries, max_size=1), st.just({})),
        "expansion": _texts,
    },
)


@unhurried
@given(_batches)
def test_a_batch_file_is_judged_by_the_schema_as_by_its_parser(data: dict[str, Any]) -> None:
    try:
        parse_batch(json.dumps(data), path=Path("/nowhere/batch.yml"))
        refusal = ""
    except RecipeError as error:
        refusal = error.message
    assert validator("batch").is_valid(data) is not bool(refusal), refusal


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_printed_as_it_is_kept(cli: Cli, name: str) -> None:
    said = cli("schema", name)
    assert said.out == schema_text(name)
    assert said.document["$id"] == f"urn:distexpand:schema:{name}"
    assert "://" not in said.out.replace("http://json-schema.org/draft-07/schema#", "")


def test_a_schema_that_isn_t_there_is_refused() -> None:
    said = call("schema", "reciep")
    assert said.code == 2
    assert "recipe" in said.err
