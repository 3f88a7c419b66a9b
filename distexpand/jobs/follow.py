"""Follow a job to its end, to its beginning, or until the user has seen enough.

The job never depends on who follows it. How it ended is taken from its own last
event; from Ray only where the driver couldn't say it any more.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from distexpand import errors
from distexpand.cluster.events import Event, Noted, RunBegan, RunEnded
from distexpand.errors import (
    DistexpandError,
    InterruptedRunError,
    StorageError,
    UsageError,
    VerificationError,
)
from distexpand.jobs.client import Job, find_job
from distexpand.jobs.connection import ClusterAwayError
from distexpand.jobs.entry import parse_missing
from distexpand.jobs.event_log import read_line
from distexpand.jobs.logs import CONTINUE, PATIENCE, log_lines

if TYPE_CHECKING:
    from distexpand.jobs.ray_client import BoundedClient

_LAST_LINES = 20
_DETACHED_SECONDS = 45.0
_WAITING_SECONDS = 10.0
_LONGEST_REASON = 1500
_BY_EXIT_CODE = {
    kind.exit_code: kind for kind in (UsageError, DistexpandError, VerificationError, InterruptedRunError)
}


class Display(Protocol):
    """Shows events as they come."""

    def show(self, event: Event) -> None:
        """Show one event."""
        ...

    def other(self, line: str) -> None:
        """Show a line of the log that is no event."""
        ...

    def stop(self) -> None:
        """End, whether the run is over or not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job ended, or how far it is if `over` is false.

    `missing` are requirements that its machine lacked, `lines` the last ones of its log that are no
    events.
    """

    job: Job
    began: RunBegan | None
    ended: RunEnded | None
    missing: tuple[str, ...]
    lines: tuple[str, ...]

    @property
    def over(self) -> bool:
        """Whether there is nothing more to come."""
        return self.ended is not None or self.job.over


def follow(
    client: "BoundedClient",
    name: str,
    display: Display,
    *,
    until_begun: bool = False,
    patience: float = PATIENCE,
) -> Outcome:
    """Show a job's events until it is over.

    Args:
        client: from `connect`.
        name: the job.
        display: told of every event from the job's beginning on; stopped at the end.
        until_begun: return when the run has begun, at the latest after 45 seconds.
        patience: seconds without an answer after which the cluster counts as lost.

    Raises:
        DistexpandError: the job is unknown or the cluster lost. A job that failed is an outcome.
    """
    job = find_job(client, name)
    reader = _Reader(client, job, display)
    try:
        reading = reader.read(until_begun=until_begun, patience=patience)
        asyncio.run(asyncio.wait_for(reading, _DETACHED_SECONDS if until_begun else None))
    except TimeoutError:
        pass
    finally:
        display.stop()
    return reader.outcome()


class _Reader:
    def __init__(self, client: "BoundedClient", job: Job, display: Display) -> None:
        self._client, self._job, self._display = client, job, display
        self._began: RunBegan | None = None
        self._ended: RunEnded | None = None
        self._missing: tuple[str, ...] = ()
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._since = time.monotonic()
        self._told = ""

    async def read(self, *, until_begun: bool, patience: float) -> None:
        lines = log_lines(self._client, self._job.id, told=self._waiting, patience=patience)
        try:
            async for line in lines:
                self._take(line)
                if until_begun and (self._began or self._ended or self._missing):
                    return
        finally:
            await lines.aclose()  # type: ignore[attr-defined]

    def _take(self, line: str) -> None:
        other, event = read_line(line)
        if other or event is None:
            self._missing = self._missing or parse_missing(other)
            self._lines.append(other)
            self._display.other(other)
        if event is None:
            return
        if isinstance(event, RunBegan):
            self._began = event
        if isinstance(event, RunEnded):
            self._ended = event
        self._display.show(event)

    def _waiting(self, job: Job) -> None:
        """Say once what a job that doesn't start is waiting for."""
        waited = time.monotonic() - self._since
        if job.status == "PENDING" and waited > _WAITING_SECONDS and job.message != self._told:
            self._told = job.message
            self._display.show(Noted(message=f"waiting: {job.message}"))

    def _last_state(self) -> Job:
        """Return the job as it is now; once it said how it ended, a cluster that is gone changes nothing."""
        try:
            return find_job(self._client, self._job.id)
        except DistexpandError:
            if self._ended is not None:
                return self._job
            raise ClusterAwayError(
                f"{self._client.address}: the cluster went away before the job said how it ended",
                hint=CONTINUE,
            ) from None

    def outcome(self) -> Outcome:
        return Outcome(
            job=self._last_state(),
            began=self._began,
            ended=self._ended,
            missing=self._missing,
            lines=tuple(self._lines),
        )


def failure(outcome: Outcome) -> DistexpandError | None:
    """Return the error that a job which is over ended with, as it would have been raised here."""
    ended, job = outcome.ended, outcome.job
    if job.status == "STOPPED" and (ended is None or ended.exit_code):
        return InterruptedRunError(
            f"job {job.id} was stopped", hint=f"Go on with: distexpand jobs resume {job.id}"
        )
    if ended is not None:
        return _raised(ended) if ended.exit_code else None
    if job.status == "SUCCEEDED":
        return None
    if outcome.missing:
        return StorageError(
            f"job {job.id} ended at once: the cluster's machines lack {', '.join(outcome.missing)}",
            hint="Submit the same again without --detach: it then has Ray install them for the job.",
        )
    lines = "".join(f"\n  {line}" for line in outcome.lines)
    return StorageError(
        f"job {job.id} ended without a word: {_reason(job.message)}{lines}", hint=_what_next(job.message)
    )


def _reason(message: str) -> str:
    """Return Ray's reason without the log that it repeats, and its end if it is long: there pip says why."""
    reason = message.partition(", last available logs")[0].strip()
    return reason[-_LONGEST_REASON:] or "no reason given"


def _what_next(message: str) -> str:
    if "runtime_env" in message.lower().replace(" ", "_"):
        return "The cluster couldn't prepare the job's environment: can its machines reach a package index?"
    return "Submit the same again: finished shards stay, and it goes on from there."


def _raised(ended: RunEnded) -> DistexpandError:
    """Return an error of the kind that the driver raised; or of one with its exit code."""
    kind = getattr(errors, ended.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, DistexpandError)):
        kind = _BY_EXIT_CODE.get(ended.exit_code, DistexpandError)
    return kind(ended.message, hint=_in_a_client_s_words(ended.hint))


def _in_a_client_s_words(hint: str) -> str:
    """Return a hint of the driver's without `--resume`, which only `run` has."""
    return hint.replace("go on with --resume", "submit the same again").replace(
        "call again with --resume", "submit the same again"
    )
