"""What `submit` and `jobs` say of a job: how to come back, and how it ended."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from distexpand.cli.messages import print_json, say
from distexpand.errors import InterruptedRunError

if TYPE_CHECKING:
    from distexpand.jobs.client import Job
    from distexpand.jobs.follow import Outcome


def how_to_return(job: str, address: str) -> str:
    """Return how a job is followed again and how it is stopped."""
    return (
        f"  follow it: distexpand jobs logs {job} --follow --address {address}\n"
        f"  stop it:   distexpand jobs stop {job} --address {address}"
    )


@contextmanager
def detaching(current: list[str], address: str) -> Iterator[None]:
    """Let an interrupt end the following and not the job; `current` holds the job, once there is one.

    The exit code is 130 as for any interrupted command: what comes after it in a script must not
    take the output for finished. `--detach` is the way to leave on purpose.

    Raises:
        InterruptedRunError: it was interrupted.
    """
    try:
        yield
    except KeyboardInterrupt:
        if not current:
            raise
        raise InterruptedRunError(
            f"no longer following; job {current[-1]} goes on",
            hint=how_to_return(current[-1], address).strip(),
        ) from None


def conclude(outcome: "Outcome", address: str, *, quiet: bool, as_json: bool) -> None:
    """Say how a job ended, or that it goes on.

    Raises:
        DistexpandError: the error that it ended with.
    """
    from distexpand.jobs.follow import failure

    error = failure(outcome) if outcome.over else None
    if error is not None:
        if not error.hint:
            error.hint = f"Its log: distexpand jobs logs {outcome.job.id} --address {address}"
        raise error
    if as_json:
        print_json(outcome_document(outcome, address))
    elif not quiet:
        _tell(outcome, address)


def outcome_document(outcome: "Outcome", address: str) -> dict[str, Any]:
    """Return an outcome as JSON."""
    began, ended = outcome.began, outcome.ended
    return {
        "job": outcome.job.id,
        "address": address,
        "output": outcome.job.output,
        "status": "SUCCEEDED" if ended is not None else outcome.job.status,
        "over": outcome.over,
        "made": ended.made if ended is not None else None,
        "seconds": ended.seconds if ended is not None else None,
        "total_bytes": began.total_bytes if began is not None else None,
    }


def _tell(outcome: "Outcome", address: str) -> None:
    from distexpand.report.sizes import bytes_text, duration_text

    job, began, ended = outcome.job, outcome.began, outcome.ended
    if ended is not None and not ended.made:
        say(f"{job.output}: already finished, nothing to do")
    elif ended is not None:
        size = f", {bytes_text(began.total_bytes)}" if began is not None else ""
        say(f"{job.output}: finished by {job.id} in {duration_text(ended.seconds)}{size}")
    elif outcome.over:
        say(f"{job.output}: {job.id} {job.status.lower()}")
    else:
        state = "is under way" if began is not None else f"hasn't begun yet ({job.message.rstrip('.')})"
        say(f"job {job.id} {state}\n{how_to_return(job.id, address)}")


def age_text(job: "Job") -> str:
    """Return how long a job has run, or ran."""
    from distexpand.report.sizes import duration_text

    if not job.started:
        return ""
    return duration_text(max(0.0, (job.ended or time.time()) - job.started))
