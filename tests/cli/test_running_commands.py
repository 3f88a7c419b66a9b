"""Commands that run models: what they print, and what they say to wrong use."""

from pathlib import Path

import pytest

from distexpand.errors import MissingDependencyError
from distexpand.running import libraries
from tests.cli.calls import Cli


def _checkpoint(directory: Path) -> Path:
    pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")
    from tests.running.real_models import saved  # noqa: PLC0415  # needs torch

    return saved(directory, "llama")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("a b c b a " * 10)
    return path


def test_eval_shows_models_and_recipes_side_by_side(
    tmp_path: Path, cli: Cli, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model, recipe = _checkpoint(Path("a")), Path("recipe.yml")
    recipe.write_text("{model: a, layer_map: [[0, 4], [2, 6]]}")
    shared = ("--text", text, "--model", f"a={model}", "--window", 16)
    done = cli("eval", model, recipe, *shared)
    assert done.code == 0
    heading, first, second, cut = done.out.splitlines()
    assert " ".join(heading.split()) == "model layers parameters tokens perplexity bits per byte time"
    assert first.split()[:2] == [str(model), "6"]
    assert second.split()[:2] == [str(recipe), "8"]
    assert cut == "windows of 16 tokens, one every 8"
    found = cli("eval", model, recipe, *shared, "--json").document["models"]
    assert [entry["model"] for entry in found] == [str(model), str(recipe)]
    for entry, line in zip(found, (first, second), strict=True):
        assert f"{entry['perplexity']:.4f}" == line.split()[4]
        assert entry["tokens"] == 50


def test_eval_takes_the_text_from_a_pipe(tmp_path: Path, text: Path) -> None:
    from tests.cli.calls import call  # noqa: PLC0415

    model = _checkpoint(tmp_path / "a")
    done = call("eval", model, "--text", "-", "--json", stdin=text.read_text())
    assert done.code == 0
    assert done.document["models"][0]["tokens"] == 50


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "can't read the text"), (b"\xff\xfe", "not UTF-8 text"), (b" \n", "holds no text")],
    ids=["missing", "binary", "empty"],
)
def test_a_text_that_is_none_is_named(tmp_path: Path, cli: Cli, content: bytes | None, message: str) -> None:
    file = tmp_path / "text"
    if content is not None:
        file.write_bytes(content)
    for command in (("eval", tmp_path), ("verify", tmp_path, "--identity")):
        done = cli(*command, "--text", file)
        assert done.code == 2
        assert f"error: {file}: {message}" in done.err


def test_a_model_that_isnt_there_is_named(tmp_path: Path, cli: Cli, text: Path) -> None:
    done = cli("eval", tmp_path / "nothing", "--text", text)
    assert done.code == 2
    assert f"{tmp_path / 'nothing'}: neither a recipe's file nor a model's directory" in done.err


def test_a_device_that_isnt_there_is_named(tmp_path: Path, cli: Cli, text: Path) -> None:
    model = _checkpoint(tmp_path / "a")
    for device in ("nonsense", "cuda:99"):
        done = cli("eval", model, "--text", text, "--device", device)
        assert done.code == 2
        assert f"device {device!r}: torch can't use it here" in done.err


def test_what_isnt_installed_is_named(
    tmp_path: Path, cli: Cli, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda name: None if name == "accelerate" else name)
    done = cli("eval", tmp_path, "--text", text)
    assert done.code == MissingDependencyError.exit_code
    assert "running a model needs accelerate, not installed here" in done.err
    assert "pip install 'distexpand[load]'" in done.err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--model", "zz=t"), "--model is for --sources or --identity"),
        (("--device", "cuda"), "--device is for --identity"),
        (("--trust-remote-code",), "--trust-remote-code is for --load or --identity"),
        (("--load", "--device", "cuda"), "--device is for --identity"),
        (("--load", "--model", "zz=t"), "--model is for --sources or --identity"),
        (("--sources", "--trust-remote-code"), "--trust-remote-code is for --load or --identity"),
    ],
)
def test_an_option_of_a_check_that_isn_t_asked_for_is_refused(
    tmp_path: Path, cli: Cli, given: tuple[str, ...], message: str
) -> None:
    done = cli("verify", tmp_path, *given)
    assert done.code == 2
    assert f"error: {message}" in done.err
