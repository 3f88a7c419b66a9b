"""Submit and follow in one go, and once more with the requirements that the cluster lacks."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from distexpand.errors import StorageError
from distexpand.jobs.client import Submission, submit
from distexpand.jobs.follow import Display, Outcome, follow
from distexpand.jobs.request import JobRequest
from distexpand.jobs.requirements import BASE_REQUIREMENTS

if TYPE_CHECKING:
    from distexpand.jobs.ray_client import BoundedClient


def run_job(
    client: "BoundedClient",
    request: JobRequest,
    *,
    display: Callable[[], Display],
    submitted: Callable[[Submission], None],
    told: Callable[[str], None],
    packages: Sequence[str] = (),
    driver_on_worker: bool = False,
    until_begun: bool = False,
) -> Outcome:
    """Submit a job, or join the one that does the same, and follow it.

    Args:
        client: from `connect`.
        request: what is to be done.
        display: makes a display for a job's events.
        submitted: told of each job that was submitted or joined, before it is followed.
        told: told what is worth knowing beside the events.
        packages: requirements to install for the job.
        driver_on_worker: place the driver on a node that has CPUs, not on the head.
        until_begun: return when the run has begun.

    Raises:
        DistexpandError: submitting or following failed. A job that failed is an outcome.
    """
    listed = (*BASE_REQUIREMENTS, *packages) if packages else ()
    for _ in range(2):
        submission = submit(client, request, packages=listed, driver_on_worker=driver_on_worker)
        submitted(submission)
        outcome = follow(client, submission.job, display(), until_begun=until_begun)
        if not outcome.missing:
            return outcome
        told(
            f"the cluster's machines lack {', '.join(outcome.missing)}; submitting again so that Ray "
            "installs what is needed for the job"
        )
        listed = (*BASE_REQUIREMENTS, *packages)
        _wait_until_over(client, submission.job)
    raise StorageError(
        f"the cluster's machines lack {', '.join(outcome.missing)} even after installing for the job",
        hint="Install distexpand on the cluster's machines, or see the job's log with: "
        f"distexpand jobs logs {submission.job}",
    )


def _wait_until_over(client: "BoundedClient", name: str) -> None:
    """Let a job that said its last word become terminal, so that the next one isn't taken for it."""
    follow(client, name, _Silent())


class _Silent:
    def show(self, event: object) -> None:
        """Nothing."""

    def other(self, line: str) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""
