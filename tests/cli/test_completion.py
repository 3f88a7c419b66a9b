"""Completion as shells do it: what is typed before a tab, and what stands there afterwards."""

import shutil
from pathlib import Path

import pytest

from tests.cli.calls import Cli
from tests.cli.shells import Shell, started

SHELLS = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
    "fish": ("fish", "--no-config", "-i"),
}
PREPARED = {
    "bash": 'eval "$(distexpand completion bash)"; echo is-re""ady\n',
    "zsh": 'autoload -Uz compinit; compinit -u; eval "$(distexpand completion zsh)"; echo is-re""ady\n',
    "fish": 'distexpand completion fish | source; echo is-re""ady\n',
}


def completed(shell: Shell, text: str, pattern: str) -> None:
    shell.type(f"{text}\t")
    assert shell.shows(pattern), shell.seen
    shell.type("\x15")  # take the line back


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_commands_options_choices_and_files(name: str, tmp_path: Path) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} isn't installed (apt-get install {name})")
    (tmp_path / "my-recipe.yml").touch()
    with started(*SHELLS[name], folder=tmp_path) as shell:
        shell.type(PREPARED[name])
        assert shell.shows("is-ready"), shell.seen
        completed(shell, "distexpand inspe", r"inspect\b")
        completed(shell, "distexpand run --overw", r"--overwrite\b")
        completed(shell, "distexpand run --layout by", r"by-source\b")
        completed(shell, "distexpand plan my-re", r"my-recipe\.yml\b")


@pytest.mark.parametrize("name", SHELLS)
def test_the_script_is_what_the_shell_can_read(cli: Cli, name: str) -> None:
    result = cli("completion", name)
    assert result.code == 0
    assert f"_DISTEXPAND_COMPLETE={name}_complete" in result.out


def test_an_unknown_shell_is_refused(cli: Cli) -> None:
    assert cli("completion", "tcsh").code == 2
