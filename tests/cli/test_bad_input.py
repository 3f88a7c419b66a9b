"""Bad input: a message, an exit code, no traceback, and nothing left behind."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.small import BLOCKS, tree
from tests.cli.calls import Cli, call, command

RECIPES: dict[str, str] = {
    "empty": "",
    "a list": "- 1\n- 2\n",
    "a number": "5",
    "constructs an object": "!!python/object/apply:os.system ['touch /tmp/distexpand-was-here']",
    "constructs a name": "model: !!python/name:os.system\nlayer_map: [[0, 4]]",
    "not yaml": "{[",
    "null bytes": "model: \0\n",
    "control characters": "model: a\x07\n",
    "anchors without end": "a: &a [*a]\n",
    "billion laughs": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(
        f"{n}: &{n} [{', '.join([f'*{p}'] * 9)}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "deep": "[" * 5000,
    "key twice": "model: a\nmodel: b\nlayer_map: [[0, 4]]",
    "unknown method": "merge_method: slerp\nslices: [{sources: [{model: a, layer_range: [0, 4]}]}]",
    "unknown key": "model: a\nlayer_map: [[0, 4]]\nnonsense: 1",
    "reversed": "{model: a, layer_map: [[3, 1]]}",
    "beyond": "{model: a, layer_map: [[0, 5]]}",
    "negative": "{model: a, layer_map: [[-1, 2]]}",
    "empty range": "{model: a, layer_map: [[2, 2]]}",
    "huge": "{model: a, layer_map: [[0, 99999999999999999999]]}",
    "text as range": "{model: a, layer_map: [['0', 'x']]}",
    "no layers": "{model: a, layer_map: []}",
    "endless": "{model: a, repeat: {layer_range: [0, 4], times: 1000000000}}",
    "nan": "slices: [{sources: [{model: a, layer_range: [0, 4], parameters: {scale: .nan}}]}]\n"
    "merge_method: passthrough",
    "infinite": "slices: [{sources: [{model: a, layer_range: [0, 4], parameters: {scale: .inf}}]}]\n"
    "merge_method: passthrough",
    "unknown dtype": "{model: a, layer_map: [[0, 4]], dtype: int3}",
    "missing model": "{model: at-all, layer_map: [[0, 4]]}",
    "model that is a file": "{model: /etc/hostname, layer_map: [[0, 4]]}",
    "long model": f"{{model: {'x' * 5000}, layer_map: [[0, 4]]}}",
    "null in a model": '{model: "a\\0b", layer_map: [[0, 4]]}',
    "half a character": '{model: "\\ud800", layer_map: [[0, 4]]}',
    "zero weights": "slices: [{sources: [{model: a, layer_range: [0, 4], parameters: {weight: 0}}]}]\n"
    "merge_method: linear",
}


@pytest.mark.parametrize("name", RECIPES)
def test_bad_recipes(cli: Cli, model: Path, recipe: Path, tmp_path: Path, name: str) -> None:
    recipe.write_text(RECIPES[name])
    before = tree(tmp_path)
    place = ["--model", f"a={model}"] if "model: a," in RECIPES[name] else []
    for arguments in (["plan", recipe], ["run", recipe, tmp_path / "out"]):
        plain = cli(*arguments, *place)
        assert plain.code == 2, plain.err
        assert plain.out == ""
        assert len(plain.err) < 20_000
        as_json = cli(*arguments, *place, "--json")
        assert as_json.code == 2
        assert as_json.document["error"]["message"]
        assert as_json.err == ""
    assert tree(tmp_path) == before
    assert not Path("/tmp/distexpand-was-here").exists()


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe", b"\x28\xb5\x2f\xfd", b'{"copies":', b'{"copies":[]}', bytes(99)]
)
def test_recipes_that_aren_t_text(cli: Cli, recipe: Path, tmp_path: Path, raw: bytes) -> None:
    recipe.write_bytes(raw)
    assert cli("plan", recipe).code == 2
    assert cli("run", recipe, tmp_path / "out").code == 2
    piped = subprocess.run(command("plan", "-"), input=raw, capture_output=True, check=False)
    assert piped.returncode == 2
    assert b"Traceback" not in piped.stderr
    assert not (tmp_path / "out").exists()


def _index(model: Path, change: Callable[[dict], object]) -> None:
    path = model / "model.safetensors.index.json"
    document = json.loads(path.read_bytes())
    change(document["weight_map"])
    path.write_text(json.dumps(document))


def _shard(model: Path, change: Callable[[bytes], bytes]) -> None:
    path = min(model.glob("*.safetensors"))
    path.write_bytes(change(path.read_bytes()))


def _header(model: Path, old: bytes, new: bytes) -> None:
    assert len(old) == len(new)
    _shard(model, lambda raw: raw.replace(old, new, 1))


def _config(model: Path, **changes: object) -> None:
    path = model / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no config": lambda model: (model / "config.json").unlink(),
    "config is a list": lambda model: (model / "config.json").write_text("[]"),
    "config is no json": lambda model: (model / "config.json").write_text("{"),
    "config is nested": lambda model: (model / "config.json").write_text('{"a":' * 50_000),
    "other layer count": lambda model: _config(model, num_hidden_layers=5),
    "layer count is text": lambda model: _config(model, num_hidden_layers="4"),
    "layer count is huge": lambda model: _config(model, num_hidden_layers=10**30),
    "shard missing": lambda model: min(model.glob("*.safetensors")).unlink(),
    "shard empty": lambda model: _shard(model, lambda _raw: b""),
    "shard truncated": lambda model: _shard(model, lambda raw: raw[:-1]),
    "shard truncated in its header": lambda model: _shard(model, lambda raw: raw[:20]),
    "shard with an end": lambda model: _shard(model, lambda raw: raw + b"x"),
    "header length absurd": lambda model: _shard(model, lambda raw: b"\xff" * 8 + raw[8:]),
    "header length zero": lambda model: _shard(model, lambda raw: bytes(8) + raw[8:]),
    "unknown dtype": lambda model: _header(model, b'"BF16"', b'"BF17"'),
    "offsets overlap": lambda model: _header(model, b'data_offsets":[0,', b'data_offsets":[2,'),
    "index is empty": lambda model: _index(model, dict.clear),
    "index leaves": lambda model: _index(
        model, lambda names: names.update(dict.fromkeys(names, "../a/x.safetensors"))
    ),
    "index is absolute": lambda model: _index(
        model, lambda names: names.update(dict.fromkeys(names, "/etc/passwd"))
    ),
    "index lacks a tensor": lambda model: _index(model, dict.popitem),
    "index invents a tensor": lambda model: _index(
        model, lambda names: names.update(x=next(iter(names.values())))
    ),
    "index has numbers": lambda model: _index(model, lambda names: names.update(dict.fromkeys(names, 5))),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_sources(cli: Cli, model: Path, recipe: Path, tmp_path: Path, name: str) -> None:
    DAMAGES[name](model)
    out = tmp_path / "out"
    for arguments in (
        ["plan", recipe, "--model", f"a={model}"],
        ["run", recipe, out, "--model", f"a={model}"],
        ["inspect", model],
    ):
        plain = cli(*arguments)
        assert plain.code in {1, 2}, plain.err
        assert plain.out == ""
        assert len(plain.err) < 1000
        assert cli(*arguments, "--json").document["error"]["message"]
    assert not out.exists()


@pytest.mark.parametrize("size", ["0", "x", "-1GB", "5 5"])
def test_bad_shard_sizes(cli: Cli, model: Path, recipe: Path, tmp_path: Path, size: str) -> None:
    bad = ("--model", f"a={model}", "--shard-size", size)
    assert cli("run", recipe, tmp_path / "out", *bad).code == 2
    assert cli("plan", recipe, *bad, "--json").document["error"]["message"].startswith("--shard-size")
    assert not (tmp_path / "out").exists()


def test_bad_outputs(cli: Cli, model: Path, recipe: Path, tmp_path: Path) -> None:
    named = ("--model", f"a={model}", "--quiet")
    assert cli("run", recipe, model / "out", *named).code == 2
    assert cli("run", recipe, tmp_path, *named).code == 2
    assert cli("run", recipe, recipe, *named).code == 2
    for out in (recipe / "out", tmp_path / ("x" * 300), "/proc/out"):
        assert cli("run", recipe, out, *named).code == 1
        assert cli("plan", recipe, *named[:2], "--output", out).code == 0
        assert cli("verify", out).code == 1
    assert not (model / "out").exists()


@pytest.mark.parametrize(
    "place", ["", "=", "a=", "a", "a=/nowhere", f"a={'x' * 5000}", "~nobody-at-all/x", "a=\0"]
)
def test_bad_places(cli: Cli, recipe: Path, place: str) -> None:
    result = cli("plan", recipe, "--model", place)
    assert result.code == 2
    assert result.out == ""


def test_long_names(cli: Cli, tmp_path: Path) -> None:
    for name in ("x" * 300, "x" * 5000):
        assert cli("plan", name).code == 2
        assert cli("run", name, tmp_path / "out").code == 2
        assert cli("inspect", name).code == 2


def test_bytes_that_are_no_text_in_arguments(model: Path, recipe: Path, tmp_path: Path) -> None:
    strange = tmp_path / "\udcff"
    model.rename(strange)
    for arguments in (
        ("plan", recipe, "--model", f"a={strange}", "--json"),
        ("plan", strange, "--json"),
        ("inspect", strange / "none", "--json"),
        ("verify", strange, "--json"),
    ):
        result = call(*arguments)
        assert result.code in {1, 2}
        assert "Traceback" not in result.err
        assert json.loads(result.out)["error"]["message"]


def test_an_output_under_a_strange_name(model: Path, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out \udcff ü\n"
    done = call("run", recipe, out, "--model", f"a={model}", "--json")
    assert done.code == 0, done.err
    assert call("verify", out, "--json").code == 0
    assert call("verify", out).code == 0
    assert (out / "config.json").exists()


def test_processes_print_no_traceback(tmp_path: Path) -> None:
    for arguments in (
        ("plan", "missing.yml"),
        ("verify", tmp_path),
        ("inspect", tmp_path),
        ("run", "-", "out"),
    ):
        result = call(*arguments, stdin=BLOCKS, cwd=tmp_path)
        assert result.code in {1, 2}
        assert "Traceback" not in result.err
        assert "error: " in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "{recipe}", ""),
        ("verify", ""),
        ("inspect", ""),
        ("clean", ""),
        ("trainable", ""),
        ("pack", "", "packed"),
        ("plan", "{recipe}", "--output", ""),
        ("plan", "{recipe}", "--save", ""),
        ("doctor", ""),
    ],
)
def test_an_empty_place_is_not_the_current_folder(
    arguments: tuple[str, ...], cli: Cli, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    done = cli(*(argument.format(recipe=recipe) for argument in arguments))
    assert done.code == 2
    assert "error: the place is empty" in done.err
    assert not list((tmp_path / "here").iterdir())


def test_a_directory_that_isn_t_there_is_named_as_it_was_given(
    cli: Cli, recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    for arguments, message in (
        (("adapter", "bake", "nope", "x"), "nope: no such directory"),
        (("adapter", "bake", tmp_path / "file", "x"), f"{tmp_path / 'file'}: a file, not a directory"),
        (("inspect", tmp_path / "nope"), f"{tmp_path / 'nope'}: no such directory"),
        (("plan", recipe, "--model", "a=nope"), "nope: no such directory, given for the model a"),
    ):
        done = cli(*arguments)
        assert done.code == 2
        assert f"error: {message}\n" in done.err
    assert "Did you mean gs?" in cli("inspect", "gss://bucket/x").err
