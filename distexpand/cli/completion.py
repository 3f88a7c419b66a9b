"""Shell completion: `distexpand completion bash|zsh|fish`, and what stands for files.

Click completes commands, options and choices by itself; that arguments which aren't of its own path
types name files and folders has to be said.
"""

import click
from click.shell_completion import CompletionItem, get_completion_class

_VARIABLE = "_DISTEXPAND_COMPLETE"
_SHELLS = ("bash", "zsh", "fish")


def files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Have the shell complete names of files."""
    return [CompletionItem(incomplete, type="file")]


def folders(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Have the shell complete names of folders."""
    return [CompletionItem(incomplete, type="dir")]


@click.command("completion", short_help="Print the script by which a shell completes commands.")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print a script that has SHELL complete commands, options, choices and files.

    \b
    bash:  echo 'eval "$(distexpand completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(distexpand completion zsh)"' >> ~/.zshrc
    fish:  distexpand completion fish > ~/.config/fish/completions/distexpand.fish
    """  # noqa: D301  # click's mark for lines that stay as they are
    kind = get_completion_class(shell)
    assert kind is not None, "click knows all three"
    click.echo(kind(context.find_root().command, {}, "distexpand", _VARIABLE).source())
