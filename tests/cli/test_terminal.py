"""Progress on a real terminal: drawn in place, never wrapped, and not at all where it isn't wanted."""

import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.api.small import small_model
from tests.cli.calls import command
from tests.cli.shells import on_terminal

WIDE = {"hidden_size": 512, "intermediate_size": 1024, "vocab_size": 4000, "num_layers": 8}
RECIPE = "{model: a, repeat: {layer_range: [0, 8], times: 6}}"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("models") / "a", shard_size=10**9, **WIDE)


def run(wide: Path, folder: Path, *options: object, columns: int) -> tuple[int, str]:
    recipe = folder / "recipe.yml"
    recipe.write_text(RECIPE)
    words = ("run", recipe, folder / "out", "--model", f"a={wide}", "--shard-size", "10MB", "--no-check-load")
    return on_terminal(*command(*words, *options), columns=columns)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(wide: Path, tmp_path: Path, columns: int) -> None:
    code, written = run(wide, tmp_path, columns=columns)
    assert code == 0
    plain = _CONTROL.sub("", written)
    lines = re.split(r"[\r\n]+", plain)
    drawn = [line for line in lines if "shards" in line or "%" in line]
    assert drawn
    assert all(cell_len(line) <= columns for line in drawn)
    assert "100%" in plain
    assert re.search(r"\d of \d+ shards", plain)
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


def test_quiet_is_quiet(wide: Path, tmp_path: Path) -> None:
    assert run(wide, tmp_path, "--quiet", columns=80) == (0, "")
