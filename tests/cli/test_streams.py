"""Standard streams that are closed, full or not text: a message or silence, never a traceback."""

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.cli.calls import Result, call, command


def shell(line: str, *arguments: object) -> Result:
    """Call `distexpand` with redirections; `{}` in the line is the command."""
    words = shlex.join(command(*arguments))
    done = subprocess.run(
        ["/bin/sh", "-c", line.format(words)], capture_output=True, text=True, check=False, timeout=60
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return Result(code=done.returncode, out=done.stdout, err=done.stderr)


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
@pytest.mark.parametrize("name", ["plan", "plan --json", "run --json", "verify --json", "inspect --json"])
def test_standard_output_that_takes_nothing(
    model: Path, recipe: Path, tmp_path: Path, name: str, redirection: str
) -> None:
    out = tmp_path / "out"
    named = ("--model", f"a={model}")
    if name.startswith("verify"):
        assert call("run", recipe, out, *named).code == 0
    words, *options = name.split()
    arguments = {
        "plan": (recipe, *named),
        "run": (recipe, out, *named),
        "verify": (out,),
        "inspect": (model,),
    }[words]
    result = shell("{} " + redirection, words, *arguments, *options)
    if not options and redirection == ">&-":
        assert result.code == 0
        return
    assert result.code == 1
    assert "error: standard output: can't write: " in result.err
    if words == "run":
        assert (out / "distexpand.json").exists()


def test_an_error_that_can_not_be_a_document_is_a_message(tmp_path: Path) -> None:
    result = shell("{} >/dev/full", "verify", tmp_path, "--json")
    assert result.code == 1
    assert "error: " in result.err
    assert shell("{} >/dev/full", "--help").code == 1


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_standard_error_that_takes_nothing_costs_messages_only(
    model: Path, recipe: Path, tmp_path: Path, redirection: str
) -> None:
    out = tmp_path / "out"
    recipe.write_text("{model: a, layer_map: [[0, 3]]}")
    run = shell("{} " + redirection, "run", recipe, out, "--model", f"a={model}")
    assert (run.code, run.out, run.err) == (0, "", "")
    verified = shell("{} " + redirection, "verify", out)
    assert verified.code == 0
    assert "verified" in verified.out
    assert shell("{} " + redirection, "verify", tmp_path).code == 1
    assert shell("{} " + redirection, "verify").code == 2
    assert shell("{} " + redirection, "run", recipe, out, "--model", f"a={model}").code == 2


def test_standard_input_that_is_no_text(tmp_path: Path) -> None:
    piped = subprocess.run(command("plan", "-"), input=b"\xff\xfe", capture_output=True, check=False)
    assert piped.returncode == 2
    assert b"standard input: not UTF-8 text" in piped.stderr
    closed = shell("{} <&-", "run", "-", tmp_path / "out")
    assert closed.code == 2
    assert "standard input: can't read the recipe" in closed.err


def test_no_file_takes_the_place_of_a_closed_stream() -> None:
    program = (
        "import os; from distexpand.cli.main import _keep_standard_streams as keep; os.close(0); "
        "os.close(2); keep(); print(os.open(os.devnull, os.O_RDONLY) > 2)"
    )
    done = subprocess.run([command()[0], "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "True\n"
