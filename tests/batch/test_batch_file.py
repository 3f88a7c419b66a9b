"""The batch file: what is read, and how each mistake is named."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.batch.document import Batch, parse_batch, read_batch
from distexpand.batch.hooks import VERIFY, Hook
from distexpand.errors import RecipeError
from distexpand.planning.layout import Layout

HOME = Path("/batches/nightly.yml")
ONE = {"recipe": "r.yml", "output": "out"}

words = st.text(st.characters(categories=["L", "N"], include_characters="-_. ={}/"), min_size=1).filter(
    lambda text: text.strip() and text != "verify" and "{" not in text
)
commands = st.lists(words, min_size=1, max_size=4)
hooks = st.one_of(st.just("verify"), commands)
hook_lists = st.one_of(st.just([]), hooks, st.lists(hooks, min_size=1, max_size=3))
names = st.text("abcxyz019-", min_size=1, max_size=8)


def _parse(**document: Any) -> Batch:
    return parse_batch(yaml.safe_dump(document), path=HOME)


def _expected(value: Any) -> tuple[Hook, ...]:
    if value in ("verify", ["verify"]):
        return (VERIFY,)
    if not value:
        return ()
    if all(isinstance(item, str) for item in value):
        return (Hook(arguments=tuple(value)),)
    return tuple(VERIFY if item == "verify" else Hook(arguments=tuple(item)) for item in value)


@settings(deadline=None)  # other tests run beside it
@given(
    entries=st.lists(
        st.fixed_dictionaries(
            {"recipe": names, "output": names},
            optional={
                "models": st.dictionaries(names, names),
                "shard_size": st.integers(1, 10**12),
                "layout": st.sampled_from([layout.value for layout in Layout]),
                "overwrite": st.booleans(),
                "after": hook_lists,
            },
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda entry: entry["output"],
    ),
    at_once=st.integers(1, 256),
    retries=st.integers(0, 99),
    after_each=hook_lists,
)
def test_everything_that_is_written_is_read(
    entries: list[dict[str, Any]], at_once: int, retries: int, after_each: Any
) -> None:
    batch = _parse(expansions=entries, at_once=at_once, retries=retries, after_each=after_each)
    assert (batch.at_once, batch.retries) == (at_once, retries)
    assert batch.status == Path("/batches/nightly.status.json")
    for entry, expansion in zip(entries, batch.expansions, strict=True):
        assert expansion.recipe == HOME.parent / entry["recipe"]
        assert expansion.output == HOME.parent / entry["output"]
        assert expansion.models == {
            name: f"/batches/{path}" for name, path in entry.get("models", {}).items()
        }
        assert expansion.shard_size == entry.get("shard_size")
        assert expansion.layout.value == entry.get("layout", "layers")
        assert expansion.overwrite is entry.get("overwrite", False)
        assert expansion.after == _expected(entry.get("after", after_each))


def test_paths_are_relative_to_the_file_and_addresses_stay() -> None:
    entry = {"recipe": "../r.yml", "output": "/models/out", "models": {"a": "~/a", "b": "s3://bucket/b"}}
    [expansion] = _parse(expansions=[entry], status="state/s.json").expansions
    assert expansion.recipe == Path("/r.yml")
    assert expansion.output == Path("/models/out")
    assert expansion.models == {"a": str(Path.home() / "a"), "b": "s3://bucket/b"}
    assert _parse(expansions=[entry], status="state/s.json").status == Path("/batches/state/s.json")


def test_a_path_alone_is_the_model_of_a_recipe_that_names_none() -> None:
    [expansion] = _parse(expansions=[ONE | {"models": "tiny"}]).expansions
    assert expansion.models == {"": "/batches/tiny"}


def test_a_block_for_anchors_may_have_any_name() -> None:
    text = "shared: &m {a: /m/a}\nexpansions:\n- {recipe: r, output: o, models: *m}\n"
    assert parse_batch(text, path=HOME).expansions[0].models == {"a": "/m/a"}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, ["`expansions` is missing"]),
        ({"expansions": []}, ["expansions: found []", "a list of expansions"]),
        ({"expansions": [ONE], "at_onc": 1}, ["at_onc: unknown key", "did you mean `at_once`"]),
        ({"expansions": [ONE], "at_once": 0}, ["at_once: found 0", "from 1 to 256"]),
        ({"expansions": [ONE], "at_once": 1000}, ["at_once: found 1000", "from 1 to 256"]),
        ({"expansions": [ONE], "retries": -1}, ["retries: found -1"]),
        ({"expansions": [ONE], "retries": True}, ["retries: found True"]),
        ({"expansions": [ONE | {"ouput": "x"}]}, ["expansions[0].ouput: unknown key", "`output`"]),
        ({"expansions": [{"recipe": "r"}]}, ["expansions[0]: `output` is missing"]),
        ({"expansions": [ONE | {"recipe": ["r"]}]}, ["expansions[0].recipe: found ['r']", "a path"]),
        ({"expansions": [ONE | {"shard_size": "big"}]}, ["shard_size: found 'big'", "5GB"]),
        ({"expansions": [ONE | {"shard_size": True}]}, ["shard_size: found True"]),
        ({"expansions": [ONE | {"layout": "by_source"}]}, ["layout: found 'by_source'", "by-source"]),
        ({"expansions": [ONE | {"overwrite": "yes!"}]}, ["overwrite: found 'yes!'", "true or false"]),
        ({"expansions": [ONE | {"models": ["a"]}]}, ["models: found ['a']", "a mapping"]),
        ({"expansions": [ONE | {"models": {"a=b": "x"}}]}, ["models.a=b", "no `=`"]),
        ({"expansions": [ONE | {"after": "rclone"}]}, ["after: found 'rclone'", "list of texts"]),
        ({"expansions": [ONE | {"after": [["a", 1]]}]}, ["after[0][1]: found 1", "quotes"]),
        ({"expansions": [ONE | {"after": ["a", "{ouput}"]}]}, ["after[1]", "did you mean `{output}`"]),
        ({"expansions": [ONE, ONE]}, ["expansions[1]: `output`", "same as that of expansions[0]"]),
        ({"expansions": [ONE, ONE | {"output": "./x/../out"}]}, ["same as that of expansions[0]"]),
        ({"expansions": [ONE, ONE | {"output": "out/in"}]}, ["expansions[1]", "lies in that of"]),
        (
            {"expansions": [ONE, ONE | {"output": "x/out"}], "after_each": ["put", "{name}"]},
            ["`{name}` is out", "expansions[0]"],
        ),
        ({"expansions": [ONE], "status": "out/s.json"}, ["status", "lies in the output"]),
        ({"expansions": [ONE], "status": "nightly.yml"}, ["would replace"]),
        ({"expansions": [ONE], "status": "r.yml"}, ["would replace"]),
    ],
)
def test_mistakes_are_named(document: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        _parse(**document)
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(str(HOME))
    for words in said:
        assert words in caught.value.message


def test_braces_of_other_languages_are_left_alone() -> None:
    command = ["awk", "{print $1}", '{"json": 1}', "{}", "{output}"]
    assert _parse(expansions=[ONE | {"after": command}]).expansions[0].after[0].arguments == tuple(command)


def test_two_links_to_one_output_are_one_output(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    entries = [ONE | {"output": "real/out"}, ONE | {"output": "link/out"}]
    with pytest.raises(RecipeError, match="same as that of"):
        parse_batch(yaml.safe_dump({"expansions": entries}), path=tmp_path / "b.yml")


@settings(deadline=None)  # other tests run beside it
@given(st.binary(max_size=200))
def test_any_bytes_are_a_batch_or_an_error(raw: bytes) -> None:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return
    with pytest.raises(RecipeError):
        parse_batch(text, path=HOME)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="can't read the batch file"):
        read_batch(tmp_path / "no.yml")
    (tmp_path / "latin.yml").write_bytes(b"expansions: \xff")
    with pytest.raises(RecipeError, match="not UTF-8"):
        read_batch(tmp_path / "latin.yml")
