"""After-each hooks: what is done with an output once it is whole, such as checking or uploading it.

A hook is a list of arguments, never a line for a shell, so that no name in it
can be taken for syntax. It has the process's environment, which is where its
secrets belong. Its last lines are kept if it fails. It runs at least once for
an output: a start that is killed between a hook's end and its note runs it
again, so that a hook has to bear being repeated.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

from distexpand.batch.child import Child, own_command, run_child
from distexpand.batch.status import Failure
from distexpand.errors import VerificationError

PLACEHOLDERS = ("output", "name", "recipe")
_SHOWN_LINES = 8
_MISSING = (126, 127)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A command's arguments as they stand in the file; none for the built-in `verify`."""

    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        """The hook as one line of text, by which it is known again."""
        return shlex.join(self.arguments) if self.arguments else "verify"


VERIFY = Hook(arguments=())


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFailure:
    """Why a hook failed, and whether the same may go well another time."""

    failure: Failure
    may_pass: bool


def run_hook(hook: Hook, values: dict[str, str], child: Child) -> HookFailure | None:
    """Run a hook to its end; return what went wrong, if anything.

    Args:
        hook: what to run.
        values: text by placeholder; `output` is a path.
        child: how it is run.
    """
    if not hook.arguments:
        return _verify(values["output"], child)
    command = [_filled(argument, values) for argument in hook.arguments]
    ended = run_child(command, child)
    if ended.code == 0:
        return None
    shown = "\n".join(ended.messages.splitlines()[-_SHOWN_LINES:])
    message = f"after: {hook.name}: {ended.reason}" + (f"\n{shown}" if shown else "")
    hint = "The output is whole; start again and only the hook is repeated."
    failure = Failure(kind="HookError", message=message, hint=hint)
    return HookFailure(failure=failure, may_pass=ended.started and ended.code not in _MISSING)


def _filled(argument: str, values: dict[str, str]) -> str:
    """Put the values in, each placeholder once: a path that holds `{name}` stays as it is."""
    parts = argument.split("{")
    filled = [parts[0]]
    for part in parts[1:]:
        word, closed, rest = part.partition("}")
        filled.append(values[word] + rest if closed and word in values else "{" + part)
    return "".join(filled)


def _verify(output: str, child: Child) -> HookFailure | None:
    if not Path(output).is_dir():
        message = f"after: verify: {output} isn't a directory here"
        hint = "Verify where the output can be seen: give a command that does, in `after_each`'s place."
        return HookFailure(failure=Failure(kind="HookError", message=message, hint=hint), may_pass=False)
    ended = run_child([*own_command(), "verify", output, "--quiet"], child)
    if ended.code == 0:
        return None
    first, _, rest = ended.messages.strip().partition("\n")
    message = f"after: verify: {first.removeprefix('error: ') or ended.reason}"
    differs = ended.code == VerificationError.exit_code
    kind = VerificationError.__name__ if differs else "HookError"
    failure = Failure(kind=kind, message=message, hint=" ".join(rest.split()))
    return HookFailure(failure=failure, may_pass=not differs)
