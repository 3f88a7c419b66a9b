"""What a run on a cluster tells of itself: events, one JSON object a line.

The same stream serves people and programs: a job's driver writes it to its log,
a client reads it back there and draws it, `run --ray` draws it where it
happens. Every line carries the run; what concerns a shard carries shard and
attempt. Rejected: a progress service beside the log, which a client would have
to find and reach, and which dies with the head.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from distexpand.formats.json_record import record


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Something worth knowing that needs no field of its own: what preflight found, what was collected."""

    message: str
    level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBegan:
    """The work is known: bytes and shards in all, and those that an earlier run has done."""

    output: str
    plan: str
    total_bytes: int
    done_bytes: int
    shards: int
    shards_done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One attempt that is under way: on which node, and how many of its bytes are in place."""

    node: str
    shard: str
    attempt: str
    done_bytes: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """About once a second: bytes in place in all, and each attempt under way on a cluster.

    `total_bytes` is repeated in a job's log, whose last lines then tell how far it is. A run on
    one machine has no workers, and rates in bytes per second instead: of the last seconds, and
    over all of it.
    """

    done_bytes: int
    workers: tuple[Worker, ...]
    total_bytes: int = 0
    shards_done: int = 0
    rate: float = 0.0
    average_rate: float = 0.0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardBegan:
    """A shard is being made; of a run on one machine."""

    shard: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """A request to a place elsewhere failed and is made again after `seconds`; of a run on one machine."""

    place: str
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardDone:
    """A shard has its final name."""

    shard: str
    attempt: str
    node: str
    size: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLost:
    """An attempt failed or was left behind; `retry` says whether the shard is tried again."""

    shard: str
    attempt: str
    node: str
    reason: str
    retry: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptDoubled:
    """A shard lags or is silent, so that a second attempt was begun on another node."""

    shard: str
    attempt: str
    node: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """The run is over: `exit_code` as the command line's; `kind`, `message`, `hint` of the error, if any.

    `made` is false where the output was finished already; `plan` is the plan's digest, if it got so far.
    """

    exit_code: int
    kind: str
    message: str
    hint: str
    seconds: float
    made: bool = True
    plan: str = ""


Event = (
    Noted | RunBegan | Progressed | ShardBegan | Retried | ShardDone | AttemptLost | AttemptDoubled | RunEnded
)
EventSink = Callable[[Event], None]

EVENT_VERSION = 1

_KINDS: dict[str, type[Any]] = {
    "note": Noted,
    "began": RunBegan,
    "progress": Progressed,
    "shard_began": ShardBegan,
    "retried": Retried,
    "shard_done": ShardDone,
    "attempt_lost": AttemptLost,
    "attempt_doubled": AttemptDoubled,
    "ended": RunEnded,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def encode_event(event: Event, *, run: str) -> str:
    """Return the event as one line.

    `event` is its kind, `version` that of the format, which grows when a field's meaning changes or
    one goes, `run` whose it is, `time` seconds since the epoch.
    """
    head = {
        "event": _NAMES[type(event)],
        "version": EVENT_VERSION,
        "run": run,
        "time": round(time.time(), 3),
    }
    return json.dumps(head | asdict(event), separators=(",", ":"))


EVENT_START = '{"event":'
"""What every event's line begins with."""


def decode_event(line: str) -> Event | None:
    """Return the event of a line of a log, or nothing where the line is something else."""
    if not line.startswith(EVENT_START):
        return None
    try:
        document = json.loads(line)
        kind = _KINDS[document["event"]]
        fields = {name: document[name] for name in kind.__dataclass_fields__ if name in document}
        event: Event = record(kind, fields)
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return event
