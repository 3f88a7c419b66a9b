"""The exception tree: everything that the program raises on purpose.

One root, one branch per way a command can end, so that the command line needs
a single table from exception to exit code. Errors are written for the user:
which file, tensor or key; what was expected and what was found; what to do
next. Third-party errors are mapped to these where they enter the program.
Messages and hints speak of the command line's options, since most are raised
by code that doesn't know who called it; as text, which is what Python shows,
an error has the arguments of the Python functions in their stead.
"""

import re

_OPTION = re.compile(
    r"--(?:model (?P<name>[^\s=`]+)=(?P<place>\.\.\.|[^\s`;,]*[^\s`;,.:])"
    r"|model (?P<only>[^\s`;,=]*[^\s`;,.:=])(?![^\s;,.])"
    r"|(?P<flag>resume|overwrite|record|trust-remote-code)\b"
    r"|(?P<valued>shard-size|layout)\b)"
)


class DistexpandError(Exception):
    """Root of all errors raised on purpose; the work failed (exit code 1).

    Args:
        message: what is wrong, naming the file, tensor or key.
        hint: what the user can do next, one sentence, or nothing.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the message and, on a line of its own, the hint: what a traceback and a notebook show."""
        return "\n".join(_as_arguments(text) for text in (self.message, self.hint) if text)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.hint))


def _as_arguments(text: str) -> str:
    """Return a text with options as Python's arguments; commands, which stand between backticks, stay."""
    parts = text.split("`")
    parts[::2] = [_OPTION.sub(_as_argument, part) for part in parts[::2]]
    return "`".join(parts)


def _as_argument(option: re.Match[str]) -> str:
    if option["name"]:
        return f"models={{{option['name']!r}: {option['place']!r}}}"
    if option["only"]:
        return f"model={option['only']!r}"
    if option["flag"]:
        return f"{option['flag'].replace('-', '_')}=True"
    return option["valued"].replace("-", "_")


def _rebuild(kind: type[DistexpandError], message: str, hint: str) -> DistexpandError:
    return kind(message, hint=hint)


class UsageError(DistexpandError):
    """The command was called wrongly: an option, an output that is taken, a missing model."""

    exit_code = 2


class RecipeError(DistexpandError):
    """The recipe can't be read, asks for what isn't supported, or doesn't fit its models."""

    exit_code = 2


class CheckpointError(DistexpandError):
    """A source checkpoint is damaged, inconsistent or of an unsupported kind."""


class ArchitectureError(DistexpandError):
    """The layer stack, a residual output or the config can't be found or expressed."""


class StorageError(DistexpandError):
    """Reading or writing failed: permissions, space, a file that changed or vanished."""


class MissingDependencyError(DistexpandError):
    """An optional library is needed for this work and isn't installed."""


class OutputError(DistexpandError):
    """The output directory is in a state in which the work can't go on."""


class OutputTakenError(OutputError):
    """Another run is writing the output; nothing is wrong with either."""


class VerificationError(DistexpandError):
    """Verification found a difference."""

    exit_code = 3


class LoadCheckError(VerificationError):
    """The output, as planned, wouldn't load as the source does, or a layer would run as another kind."""


class InterruptedRunError(DistexpandError):
    """The user or the system asked the run to stop; it can be resumed."""

    exit_code = 130
