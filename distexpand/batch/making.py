"""How one expansion is made, whoever makes it: a process here or a job on a cluster.

A maker goes on with what is there: a finished output of the same plan is left
alone, an interrupted one is continued. What differs between makers stays
behind `Maker`; what a failure means, and whether it may pass, is decided here.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from distexpand.batch.child import Child
from distexpand.batch.document import Expansion
from distexpand.batch.status import Failure
from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.errors import (
    ArchitectureError,
    CheckpointError,
    InterruptedRunError,
    MissingDependencyError,
    UsageError,
    VerificationError,
)

_HEAD_BYTES = 4096
_DIGEST = re.compile(rb'"plan_digest": "([0-9a-f]{64})"')
_OWN_WORDS = (
    ("use --overwrite", "set `overwrite: true`"),
    ("with --overwrite", "with `overwrite: true`"),
    ("go on with --resume", "start the batch again"),
    ("call again with --resume", "start the batch again"),
    ("submit the same again", "start the batch again"),
    ("Submit the same again", "Start the batch again"),
)
_LASTING = frozenset(
    kind.__name__
    for kind in (
        CheckpointError,
        ArchitectureError,
        MissingDependencyError,
        VerificationError,
        # Not us: someone ended just this one, and meant it.
        InterruptedRunError,
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One attempt at one expansion.

    `began` is to be called once there turns out to be work to do, with the job's id and the plan's digest
    where they are known; `child` has the events that stop it; `tell` takes a line for people.
    """

    expansion: Expansion
    child: Child
    began: Callable[[str, str], None]
    tell: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended: the command line's exit code, what went wrong, and the finished output's plan.

    `plan` is the digest in the manifest, empty where the maker can't know it. `key` tells one output from
    another for the hooks; it is the same again when an output is left alone.
    """

    code: int
    failure: Failure | None = None
    plan: str = ""
    key: str = ""

    @property
    def may_pass(self) -> bool:
        """Whether another attempt may go better: not if the call, the recipe or a source is wrong."""
        kind = self.failure.kind if self.failure else ""
        return self.code != UsageError.exit_code and kind not in _LASTING


class Maker(Protocol):
    """Makes one expansion, or goes on with it, and returns when it is over or `child.stop` was obeyed.

    What another plan made is replaced only if the expansion says `overwrite`, and what this plan made never.
    """

    def __call__(self, errand: Errand) -> Outcome:
        """Make it."""


def recorded_plan(output: Path) -> str:
    """Return the plan's digest in an output's manifest, or nothing if there is none.

    Only the file's head is read: a manifest holds a digest per tensor, and its worth is the
    making process's to judge.
    """
    try:
        with (output / MANIFEST_NAME).open("rb") as file:
            found = _DIGEST.search(file.read(_HEAD_BYTES))
    except OSError:
        return ""
    return found[1].decode() if found else ""


def explained(failure: Failure) -> Failure:
    """Return the failure with its advice put in the batch file's words."""
    hint = failure.hint
    for words, own in _OWN_WORDS:
        hint = hint.replace(words, own)
    return Failure(kind=failure.kind, message=failure.message, hint=hint)


def interrupted() -> Outcome:
    """Return the outcome of an attempt that was stopped."""
    kind = InterruptedRunError.__name__
    failure = Failure(kind=kind, message="interrupted", hint="Start the batch again to go on.")
    return Outcome(code=InterruptedRunError.exit_code, failure=failure)
