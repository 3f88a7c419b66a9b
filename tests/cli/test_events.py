"""`--events`: a line per event, of a documented form, whatever becomes of the run."""

import json
import os
import re
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from distexpand import errors
from distexpand.batch.run import TEMPFAIL
from distexpand.cluster.events import _KINDS, EVENT_VERSION, decode_event, encode_event
from tests.cli.calls import call, command

PAGE = Path(__file__).parents[2] / "docs" / "terminal.md"
HEAD = {"event", "version", "run", "time"}


def events_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(recipe: Path, out: Path, model: Path, *options: object, cwd: Path | None = None) -> Any:
    return call("run", recipe, out, "--model", f"a={model}", "--no-check-load", *options, cwd=cwd)


def test_a_run_in_events(model: Path, recipe: Path, tmp_path: Path) -> None:
    path = tmp_path / "events"
    result = run(recipe, tmp_path / "out", model, "--shard-size", "5kB", "--events", path, "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")
    told = events_of(path)
    assert all(set(event) >= HEAD and event["version"] == EVENT_VERSION for event in told)
    assert len({event["run"] for event in told}) == 1
    assert all(decode_event(line) is not None for line in path.read_text().splitlines())
    kinds = [event["event"] for event in told]
    assert (kinds[0], kinds[-2:]) == ("began", ["progress", "ended"])
    began, last, ended = told[0], told[-2], told[-1]
    manifest = json.loads((tmp_path / "out" / "distexpand.json").read_text())
    sizes = {shard["name"]: shard["size"] for shard in manifest["shards"]}
    assert began["total_bytes"] == last["done_bytes"] == last["total_bytes"] == sum(sizes.values())
    assert began["shards"] == last["shards_done"] == len(sizes)
    assert began["plan"] == manifest["plan_digest"]
    assert {event["shard"]: event["size"] for event in told if event["event"] == "shard_done"} == sizes
    assert {event["shard"] for event in told if event["event"] == "shard_began"} == set(sizes)
    assert (ended["exit_code"], ended["made"]) == (0, True)


def test_a_second_run_is_appended_and_says_that_there_was_nothing_to_do(
    model: Path, recipe: Path, tmp_path: Path
) -> None:
    path = tmp_path / "events"
    assert run(recipe, tmp_path / "out", model, "--events", path).code == 0
    before = len(events_of(path))
    assert run(recipe, tmp_path / "out", model, "--events", path, "--resume").code == 0
    [ended] = events_of(path)[before:]
    assert (ended["event"], ended["exit_code"], ended["made"]) == ("ended", 0, False)


def test_an_error_ends_the_events_as_it_ends_the_command(model: Path, recipe: Path, tmp_path: Path) -> None:
    path = tmp_path / "events"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    result = run(recipe, tmp_path / "out", model, "--events", path, "--json")
    [ended] = events_of(path)
    assert (ended["event"], ended["exit_code"]) == ("ended", result.code) == ("ended", 2)
    assert {name: ended[name] for name in ("kind", "message", "hint")} == result.document["error"]


def test_standard_error_has_events_in_place_of_progress_and_standard_output_its_document(
    model: Path, recipe: Path, tmp_path: Path
) -> None:
    result = run(recipe, tmp_path / "out", model, "--events", "-", "--json")
    assert result.document["output"] == str(tmp_path / "out")
    lines = result.err.splitlines()
    assert [json.loads(line)["event"] for line in lines if line.startswith("{")][-1] == "ended"
    assert all(line.startswith("{") for line in lines)


def test_a_pipe_of_the_caller_s_and_a_full_disk(model: Path, recipe: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    words = command(
        "run", recipe, tmp_path / "out", "--model", f"a={model}", "-q", "--events", f"/dev/fd/{writing}"
    )
    process = subprocess.Popen(words, pass_fds=[writing])
    os.close(writing)
    with os.fdopen(reading) as pipe:
        kinds = [json.loads(line)["event"] for line in pipe]
    assert process.wait() == 0
    assert kinds[-1] == "ended"
    full = run(recipe, tmp_path / "other", model, "--quiet", "--events", "/dev/full")
    assert (full.code, full.out, full.err) == (0, "", "")
    nowhere = run(recipe, tmp_path / "third", model, "--events", tmp_path / "no" / "events")
    assert nowhere.code == 1
    assert not (tmp_path / "third").exists()


def test_the_page_lists_every_event_and_field() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", PAGE.read_text(), flags=re.MULTILINE)
    listed = {name: re.findall(r"`(\w+)`", text) for name, text in rows}
    assert listed == {name: [field.name for field in fields(kind)] for name, kind in _KINDS.items()}


@pytest.mark.parametrize("kind", _KINDS.values())
def test_what_is_written_is_read_back(kind: type[Any]) -> None:
    samples = {str: "a\nb", int: 3, float: 0.5, bool: True}
    given = {
        field.name: () if field.name == "workers" else samples[field.type]  # type: ignore[index]
        for field in fields(kind)
    }
    event = kind(**given)
    assert decode_event(encode_event(event, run="r")) == event


def test_a_file_of_something_else_stays_as_it_is(model: Path, recipe: Path, tmp_path: Path) -> None:
    before = recipe.read_text()
    done = run(recipe, tmp_path / "out", model, "--events", recipe)
    assert done.code == 2
    assert f"--events {recipe}: holds something else than events" in done.err
    assert recipe.read_text() == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("place", "message"), [("", "the place is empty"), (".", "--events '.': a folder")])
def test_a_folder_is_no_file_of_events(
    model: Path, recipe: Path, tmp_path: Path, place: str, message: str
) -> None:
    done = run(recipe, tmp_path / "out", model, "--events", place)
    assert done.code == 2
    assert f"error: {message}" in done.err


def test_an_empty_file_and_a_descriptor_take_events(model: Path, recipe: Path, tmp_path: Path) -> None:
    empty, log = tmp_path / "empty", tmp_path / "log"
    empty.touch()
    assert run(recipe, tmp_path / "out", model, "--events", empty).code == 0
    assert events_of(empty)
    log.write_text("what the script said before\n")
    with log.open("a") as stream:
        asked = ("--model", f"a={model}", "--no-check-load", "--quiet", "--events", "/dev/stdout")
        subprocess.run(command("run", recipe, tmp_path / "second", *asked), stdout=stream, check=True)
    assert len(log.read_text().splitlines()) > 2


def test_the_page_has_every_exit_code() -> None:
    table = re.findall(r"^\| (\d+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    codes = {kind.exit_code for kind in vars(errors).values() if hasattr(kind, "exit_code")}
    assert {int(code) for code in table} == codes | {0, TEMPFAIL}
