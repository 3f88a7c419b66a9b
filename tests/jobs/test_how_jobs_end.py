"""How a job's end becomes an error here: of the kind that its driver raised, or with what Ray knows."""

from dataclasses import replace

import pytest

from distexpand.cluster.events import RunEnded
from distexpand.errors import (
    DistexpandError,
    InterruptedRunError,
    RecipeError,
    StorageError,
    UsageError,
)
from distexpand.jobs.client import Job
from distexpand.jobs.follow import Outcome, failure

JOB = Job(
    id="distexpand-0123456789abcdef-1",
    work="0123456789abcdef",
    number=1,
    status="FAILED",
    message="",
    output="/out",
    recipe="r.yml",
    started=1.0,
    ended=2.0,
    exit_code=None,
    node="",
    packages=(),
    driver_on_worker=False,
    request="",
)
DONE = RunEnded(exit_code=0, kind="", message="", hint="", seconds=1.0)


def outcome(ended: RunEnded | None, *lines: str, **job: object) -> Outcome:
    return Outcome(job=replace(JOB, **job), began=None, ended=ended, missing=(), lines=lines)


@pytest.mark.parametrize(
    ("kind", "code", "raised"),
    [
        ("RecipeError", 2, RecipeError),
        ("StorageError", 1, StorageError),
        ("ClusterSaysNoError", 2, UsageError),
        ("KeyError", 1, DistexpandError),
        ("annotations", 1, DistexpandError),
        ("InterruptedRunError", 130, InterruptedRunError),
    ],
)
def test_the_driver_s_word(kind: str, code: int, raised: type[DistexpandError]) -> None:
    error = failure(outcome(replace(DONE, exit_code=code, kind=kind, message="m", hint="h")))
    assert type(error) is raised
    assert (error.message, error.hint, error.exit_code) == ("m", "h", code)


def test_no_error() -> None:
    assert failure(outcome(DONE)) is None
    assert failure(outcome(DONE, status="STOPPED")) is None
    assert failure(outcome(None, status="SUCCEEDED")) is None


def test_a_stopped_job_says_how_to_go_on() -> None:
    error = failure(outcome(None, status="STOPPED"))
    assert isinstance(error, InterruptedRunError)
    assert "jobs resume distexpand-0123456789abcdef-1" in error.hint


def test_a_job_without_a_last_word_shows_what_there_is() -> None:
    message = "Job entrypoint command failed with exit code 137, last available logs (truncated):\nx"
    error = failure(outcome(None, "one", "two", message=message))
    assert error is not None
    assert error.message.endswith("failed with exit code 137\n  one\n  two")
    assert "Submit the same again" in error.hint


def test_an_environment_that_can_t_be_made_isn_t_submitted_again() -> None:
    message = f"Failed to set up runtime environment. {'x' * 9000} ERROR: No matching distribution found"
    error = failure(outcome(None, message=message))
    assert error is not None
    assert "No matching distribution" in error.message
    assert len(error.message) < 2000
    assert "package index" in error.hint
