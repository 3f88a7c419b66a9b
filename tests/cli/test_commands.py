"""The commands: what they print where, and their exit codes."""

import json
from pathlib import Path

import pytest

from distexpand.cli.options import parse_size
from distexpand.errors import UsageError
from tests.api.small import COPIES, SCALED, TWO_SOURCES, small_model, tree
from tests.cli.calls import Cli, call


def test_plan_run_verify_inspect(cli: Cli, model: Path, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    named = f"a={model}"
    planned = cli("plan", recipe, "--model", named)
    assert planned.code == 0
    assert not out.exists()
    ran = cli("run", recipe, out, "--model", named)
    assert (ran.code, ran.out) == (0, "")
    verified = cli("verify", out, "--sources", "--model", named)
    assert verified.code == 0
    assert "structure, content, sources verified: 6 layers" in verified.out
    inspected = cli("inspect", out)
    assert inspected.code == 0
    assert "6, named model.layers.0" in inspected.out


def test_json_is_the_only_thing_on_standard_output(
    cli: Cli, model: Path, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    named = f"a={model}"
    planned = cli("plan", recipe, "--model", named, "--json")
    assert planned.code == 0
    assert len(planned.document["plan_digest"]) == 64
    both = cli("plan", recipe, "--model", named, "--json", "--canonical")
    assert both.document["recipe"] == planned.document["recipe"]
    ran = cli("run", recipe, out, "--model", named, "--json")
    assert ran.document["output"] == str(out)
    verified = cli("verify", out, "--json")
    assert verified.document["ok"] is True
    assert cli("inspect", out, "--json").document["stack"]["num_layers"] == 6
    shard = min(out.glob("*.safetensors"))
    raw = bytearray(shard.read_bytes())
    raw[-1] ^= 1
    shard.write_bytes(raw)
    different = cli("verify", out, "--json")
    assert different.code == 3
    (difference,) = different.document["differences"]
    assert difference["file"] == shard.name
    assert difference["tensor"] in ran.document["plan"] or difference["tensor"]
    plain = cli("verify", out)
    assert plain.code == 3
    assert difference["tensor"] in plain.err
    assert plain.out == ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("plan", "missing.yml"), 2),
        (("plan",), 2),
        (("plan", "--nonsense"), 2),
        (("nonsense",), 2),
        (("run", "missing.yml", "out", "--threads", "0"), 2),
        (("verify", "missing"), 1),
        (("inspect", "missing"), 2),
    ],
)
def test_errors_are_one_json_document_too(
    cli: Cli, arguments: tuple[str, ...], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = cli(*arguments)
    assert (plain.code, plain.out) == (code, "")
    assert plain.err
    if arguments != ("nonsense",):
        as_json = cli(*arguments, "--json")
        assert as_json.code == code
        assert as_json.document["error"]["message"]
        assert as_json.err == ""
    assert list(tmp_path.iterdir()) == []


def test_canonical_recipes_are_recipes(cli: Cli, model: Path, recipe: Path, tmp_path: Path) -> None:
    printed = cli("plan", recipe, "--model", f"a={model}", "--canonical")
    again = tmp_path / "canonical.yml"
    again.write_text(printed.out)
    assert cli("plan", again, "--model", f"a={model}", "--canonical").out == printed.out
    digests = [
        cli("plan", text, "--model", f"a={model}", "--json").document["plan_digest"]
        for text in (recipe, again)
    ]
    assert digests[0] == digests[1]


def test_a_saved_plan_runs_as_its_recipe(cli: Cli, model: Path, recipe: Path, tmp_path: Path) -> None:
    saved, one, two = tmp_path / "plan.json", tmp_path / "one", tmp_path / "two"
    assert cli("plan", recipe, "--model", f"a={model}", "--save", saved).code == 0
    assert cli("run", saved, one).code == 0
    assert cli("run", recipe, two, "--model", f"a={model}").code == 0
    assert tree(one) == tree(two)
    assert cli("run", saved, two, "--resume").code == 0
    refused = cli("run", saved, tmp_path / "three", "--model", f"a={model}")
    assert refused.code == 2
    raw = saved.read_bytes()
    for damaged in (raw[:-9], raw.replace(b'"copy"', b'"Copy"'), raw.replace(b'"size":', b'"size":1')):
        saved.write_bytes(damaged)
        assert cli("run", saved, tmp_path / "three").code == 2
    assert not (tmp_path / "three").exists()


def test_a_run_by_source_is_its_own_output_and_verified_as_any(
    cli: Cli, model: Path, recipe: Path, tmp_path: Path
) -> None:
    recipe.write_text(COPIES)
    options = ("--model", f"a={model}", "--shard-size", "5kB")
    by_source = (*options, "--layout", "by-source")
    told = [cli("plan", recipe, *some, "--json").document for some in (options, by_source)]
    assert [one["bytes"]["read"] for one in told] == [
        told[0]["reads"]["layers"]["together"],
        told[1]["reads"]["by-source"]["together"],
    ]
    assert told[0]["bytes"]["read"] > told[1]["bytes"]["read"] == told[0]["bytes"]["read_unique"]
    assert cli("run", recipe, tmp_path / "out", *by_source).code == 0
    assert cli("verify", tmp_path / "out", "--sources", "--model", f"a={model}").code == 0
    assert cli("plan", recipe, *by_source, "--save", tmp_path / "plan.json").code == 0
    assert cli("run", tmp_path / "plan.json", tmp_path / "saved").code == 0
    assert tree(tmp_path / "saved") == tree(tmp_path / "out")
    refused = cli("run", recipe, tmp_path / "out", *options, "--resume")
    assert refused.code != 0
    assert cli("run", recipe, tmp_path / "out", *by_source, "--resume").code == 0


def test_a_recipe_from_standard_input(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = call("run", "-", out, "--model", model, "--quiet", stdin='{"layer_map": [[0, 4], [2, 4]]}')
    assert (done.code, done.out, done.err) == (0, "", "")
    assert call("verify", out, "--quiet").code == 0


def test_resume_overwrite_and_fresh(cli: Cli, model: Path, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = ("run", recipe, out, "--model", f"a={model}", "--quiet")
    assert cli(*first).code == 0
    before = tree(out)
    taken = cli(*first)
    assert taken.code == 2
    assert "--overwrite" in taken.err
    assert cli(*first, "--resume").code == 0
    assert cli(*first, "--overwrite", "--resume").code == 2
    assert tree(out) == before
    recipe.write_text(COPIES)
    other = cli(*first, "--resume")
    assert other.code == 2
    assert "another plan" in other.err
    assert cli(*first, "--overwrite").code == 0
    assert tree(out) != before


def test_a_finished_run_says_so(cli: Cli, model: Path, recipe: Path, tmp_path: Path) -> None:
    run = ("run", recipe, tmp_path / "out", "--model", f"a={model}")
    assert "B/s" in cli(*run).err
    again = cli(*run, "--resume")
    assert again.code == 0
    assert again.err.endswith("out: already finished, nothing to do\n")
    assert "B/s" not in again.err


def test_verify_shows_progress_and_notes(cli: Cli, model: Path, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli("run", recipe, out, "--model", f"a={model}", "--quiet").code == 0
    (out / "UNFINISHED.txt").write_text("unfinished")
    shown = cli("verify", out)
    assert shown.err.startswith("100%  ")
    assert "note: UNFINISHED.txt is left over" in shown.err
    assert cli("verify", out, "--quiet").err == ""
    assert cli("verify", out, "--quiet", "--json").document["notes"]


def test_inspect_names_no_option_that_it_lacks(cli: Cli) -> None:
    missing = cli("inspect", "missing")
    assert missing.code == 2
    assert "--model" not in missing.err


def test_strict_makes_warnings_errors(cli: Cli, model: Path, recipe: Path, tmp_path: Path) -> None:
    recipe.write_text("{model: a, layer_map: [[0, 3]]}")
    warned = cli("run", recipe, tmp_path / "out", "--model", f"a={model}")
    assert warned.code == 0
    assert "warning: " in warned.err
    strict = cli("run", recipe, tmp_path / "strict", "--model", f"a={model}", "--strict")
    assert strict.code == 2
    assert not (tmp_path / "strict").exists()
    assert cli("plan", recipe, "--model", f"a={model}", "--strict", "--json").code == 2


def test_two_models_and_places(cli: Cli, model: Path, recipe: Path, tmp_path: Path) -> None:
    other = small_model(tmp_path / "models" / "b", seed=2)
    recipe.write_text(TWO_SOURCES)
    both = ("--model", f"a={model}", "--model", f"b={other}")
    assert cli("plan", recipe, *both).code == 0
    missing = cli("plan", recipe, *both[:2])
    assert missing.code == 2
    assert "--model b=PATH" in missing.err
    assert cli("plan", recipe, *both, "--model", f"c={other}").code == 2
    assert cli("plan", recipe, *both, "--model", f"a={other}").code == 2


def test_scaled_with_json(cli: Cli, model: Path, recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")
    recipe.write_text(SCALED)
    done = cli("run", recipe, tmp_path / "out", "--model", f"a={model}", "--json")
    assert done.document["bytes_done"] > 0
    assert cli("verify", tmp_path / "out", "--sources", "--model", f"a={model}", "--json").document["ok"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5GB", 5 * 10**9), ("512MiB", 2**29), ("1.5kb", 1500), ("7", 7), ("2 T", 2 * 10**12), ("1B", 1)],
)
def test_sizes(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-5GB", "5XB", "GB", "1e9", "5 5", "0.0001", "0.4B", "9" * 400])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert caught.value.message == f"--shard-size {text!r} is not a size"


def test_the_first_thing_that_a_user_does(tmp_path: Path) -> None:
    assert "Usage: distexpand" in call("--help").out
    assert call().code in {0, 2}
    assert call("--version").out.startswith("distexpand")
    assert json.loads(call("verify", tmp_path, "--json").out)["error"]["kind"] == "OutputError"
