"""What a batch says of itself: one JSON document, read by people, schedulers and other starts.

Times are UTC, ISO 8601. States:

- `waiting`: not begun; `running`: a start works on it, `doing` says at what
- `done`: whole, and every hook went well; `failed`: given up, `error` says why
- `interrupted`: a start was stopped or killed in it; the next one goes on
- `elsewhere`: what another start has in hand, in a start's report at its end; in the file, what a run
  that knows nothing of the batch was making
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from distexpand.errors import CheckpointError, UsageError
from distexpand.formats.json_record import record
from distexpand.formats.json_text import load_json_object

FORMAT_VERSION = 1


class State(StrEnum):
    """The states of an expansion."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong: the error's kind, its message, and what to do next."""

    kind: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Who works on an expansion, or last did; `job` where a cluster does."""

    host: str
    pid: int
    job: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookDone:
    """A hook that went well for an output; `key` is the plan's digest, or that of the work on a cluster."""

    hook: str
    key: str
    ended: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One expansion; `tries` and times are those of the last start that made something of it.

    `plan` is the digest of the plan that makes or made it, as soon as it is known.
    """

    output: str
    name: str
    recipe: str
    state: State = State.WAITING
    doing: str = ""
    tries: int = 0
    plan: str = ""
    started: str = ""
    ended: str = ""
    seconds: float = 0.0
    error: Failure | None = None
    hooks: tuple[HookDone, ...] = ()
    runner: Runner | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The document: the batch file's path and its expansions in the file's order."""

    file: str
    updated: str
    expansions: tuple[Entry, ...]

    def count(self, state: State) -> int:
        """Return how many expansions are in a state."""
        return sum(entry.state is state for entry in self.expansions)

    def to_json(self) -> dict[str, Any]:
        """Return the document for people and programs, with totals."""
        totals = {"expansions": len(self.expansions)}
        totals |= {state.value: self.count(state) for state in State}
        return {
            "format_version": FORMAT_VERSION,
            "file": self.file,
            "updated": self.updated,
            "totals": totals | {"seconds": round(sum(entry.seconds for entry in self.expansions), 1)},
            "expansions": [asdict(entry) for entry in self.expansions],
        }


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_status(file: str, entries: Iterable[Entry]) -> Status:
    """Return a status as of now."""
    return Status(file=file, updated=now(), expansions=tuple(entries))


def encode_status(status: Status) -> bytes:
    """Return the document as JSON text; a message's bytes that are no UTF-8 become question marks.

    Written as escapes they would be halves of characters, which no strict reader takes.
    """
    return json.dumps(status.to_json(), indent=1, ensure_ascii=False).encode(errors="replace") + b"\n"


def decode_status(raw: bytes, *, origin: str) -> Status:
    """Return the status of a document.

    Raises:
        UsageError: it is something else, or of another version.
    """
    hint = "Move the file away, or name another in the batch file's `status`."
    try:
        document = load_json_object(raw, origin=origin)
        if document.get("format_version") != FORMAT_VERSION or "expansions" not in document:
            raise UsageError(f"{origin}: not a batch's status of version {FORMAT_VERSION}", hint=hint)
        entries = tuple(_entry(item) for item in document["expansions"])
        return Status(file=_text(document["file"]), updated=_text(document["updated"]), expansions=entries)
    except (CheckpointError, KeyError, TypeError, ValueError):
        raise UsageError(f"{origin}: not a batch's status, or damaged", hint=hint) from None


def _entry(item: Any) -> Entry:
    plain = dict(item)
    state, error, runner = (plain.pop(key) for key in ("state", "error", "runner"))
    return replace(
        record(Entry, plain),
        state=State(state),
        error=None if error is None else record(Failure, error),
        runner=None if runner is None else record(Runner, runner),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
