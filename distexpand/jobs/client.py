"""Jobs of this program on a cluster: submit one only once, find, stop.

The name of a job is made of its work, so that the cluster itself decides a race
of two clients: it takes a name once. Rejected: asking first and submitting then,
which two nightly schedulers get wrong sooner or later.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import distexpand
from distexpand.errors import OutputTakenError, StorageError
from distexpand.jobs.connection import JobTakenError, UnknownJobError, answering, details, job_error
from distexpand.jobs.credentials import refuse_credentials
from distexpand.jobs.request import (
    JOB_VARIABLE,
    REQUEST_VARIABLE,
    JobRequest,
    decode_request,
    encode_request,
    parse_submission_id,
    submission_id,
    work_id,
)

if TYPE_CHECKING:
    from distexpand.jobs.ray_client import BoundedClient

# Whatever interpreter the cluster's PATH has; `exec` so that the signal to stop reaches it and no shell.
ENTRY_POINT = 'exec "$(command -v python || command -v python3)" -m distexpand.jobs.entry'
STOP_SECONDS = 30
"""How long a driver may take to end cleanly before Ray kills it."""

_OVER = frozenset({"STOPPED", "SUCCEEDED", "FAILED"})
_DRIVER_CPUS = 0.1
_RACES = 10
_STOP_SLACK = 15.0
_OUTPUT, _RECIPE, _PLACE, _WORKER = "distexpand_output", "distexpand_recipe", "distexpand_driver", "worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job of this program as the cluster knows it; times are seconds since the epoch, 0 if there is none.

    `status` is Ray's word; `exit_code` the driver's, where it ended by itself.
    """

    id: str
    work: str
    number: int
    status: str
    message: str
    output: str
    recipe: str
    started: float
    ended: float
    exit_code: int | None
    node: str
    packages: tuple[str, ...]
    driver_on_worker: bool
    request: str

    @property
    def over(self) -> bool:
        """Whether its driver has ended for good."""
        return self.status in _OVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job to follow; `joined` if it was there already."""

    job: str
    joined: bool


def submit(
    client: "BoundedClient",
    request: JobRequest,
    *,
    packages: Sequence[str] = (),
    driver_on_worker: bool = False,
) -> Submission:
    """Submit a job, or find the one that does the same work already.

    Args:
        client: from `connect`.
        request: what is to be done.
        packages: requirements to install for the job, on top of what the cluster's machines have.
        driver_on_worker: place the driver on a node that has CPUs, not on the head.

    Raises:
        OutputTakenError: another job is making this output.
        DistexpandError: the cluster can't be reached, or refuses.
    """
    refuse_credentials({f"--pip, {n}.": package for n, package in enumerate(packages, start=1)})
    work = work_id(request)
    for _ in range(_RACES):
        ours = list_jobs(client)
        same = [job for job in ours if job.work == work]
        running = next((job for job in same if not job.over), None)
        if running is not None:
            return Submission(job=running.id, joined=True)
        _refuse_other(ours, request.output)
        name = submission_id(work, 1 + max((job.number for job in same), default=0))
        try:
            _send(client, name, request, packages, driver_on_worker=driver_on_worker)
        except JobTakenError:
            continue
        return Submission(job=name, joined=False)
    raise StorageError(f"{client.address}: jobs of the same name came and went", hint="Try again.")


def _refuse_other(jobs: Sequence[Job], output: str) -> None:
    """Refuse a second way to make an output; who slips through is kept out by the output's lease."""
    other = next((job for job in jobs if job.output == output and not job.over), None)
    if other is not None:
        raise OutputTakenError(
            f"{output}: job {other.id} is making this output by another recipe or with other options",
            hint=f"Wait for it, or end it with: distexpand jobs stop {other.id}",
        )


def _send(
    client: "BoundedClient",
    name: str,
    request: JobRequest,
    packages: Sequence[str],
    *,
    driver_on_worker: bool,
) -> None:
    environment: dict[str, Any] = {
        "env_vars": {
            REQUEST_VARIABLE: encode_request(request),
            JOB_VARIABLE: name,
            "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),
        },
        "py_modules": [str(Path(distexpand.__file__).parent)],
        "excludes": ["__pycache__"],
    }
    if packages:
        environment["pip"] = list(packages)
    with answering(client.address):
        client.submit_job(
            entrypoint=ENTRY_POINT,
            submission_id=name,
            runtime_env=environment,
            metadata={
                _OUTPUT: request.output,
                _RECIPE: request.origin,
                _PLACE: _WORKER if driver_on_worker else "head",
            },
            entrypoint_num_cpus=_DRIVER_CPUS if driver_on_worker else None,
        )


def list_jobs(client: "BoundedClient") -> list[Job]:
    """Return this program's jobs, the oldest first.

    Raises:
        DistexpandError: the cluster can't be reached, or refuses.
    """
    with answering(client.address):
        found = client.list_jobs()
    jobs = (_job(entry) for entry in found if parse_submission_id(entry.submission_id or ""))
    return sorted(jobs, key=lambda job: job.started)


def find_job(client: "BoundedClient", name: str) -> Job:
    """Return one of this program's jobs.

    Raises:
        UnknownJobError: the cluster doesn't know it.
        DistexpandError: the cluster can't be reached, or refuses.
    """
    unknown = job_error(UnknownJobError(""), job=name, address=client.address)
    if parse_submission_id(name) is None:
        raise unknown
    try:
        with answering(client.address):
            return _job(client.get_job_info(name))
    except UnknownJobError:
        raise unknown from None


def _job(entry: Any) -> Job:
    work, number = parse_submission_id(entry.submission_id) or ("", 0)
    metadata, environment = entry.metadata or {}, entry.runtime_env or {}
    return Job(
        id=entry.submission_id,
        work=work,
        number=number,
        status=details(entry.status),
        message=entry.message or "",
        output=metadata.get(_OUTPUT, ""),
        recipe=metadata.get(_RECIPE, ""),
        started=(entry.start_time or 0) / 1000,
        ended=(entry.end_time or 0) / 1000,
        exit_code=entry.driver_exit_code,
        node=entry.driver_node_id or "",
        packages=_packages(environment.get("pip")),
        driver_on_worker=metadata.get(_PLACE) == _WORKER,
        request=(environment.get("env_vars") or {}).get(REQUEST_VARIABLE, ""),
    )


def _packages(pip: Any) -> tuple[str, ...]:
    listed = pip.get("packages", []) if isinstance(pip, dict) else pip
    return tuple(str(package) for package in listed or ())


def job_log(client: "BoundedClient", name: str) -> str:
    """Return all that a job has written so far.

    Raises:
        UnknownJobError: the cluster doesn't know it.
        DistexpandError: the cluster can't be reached, or refuses.
    """
    find_job(client, name)
    with answering(client.address):
        return str(client.get_job_logs(name))


def request_of(job: Job) -> JobRequest:
    """Return what a job was given, to submit it again.

    Raises:
        UsageError: it is damaged or of another version.
    """
    return decode_request(job.request)


def stop_job(client: "BoundedClient", name: str) -> Job:
    """Stop a job and wait until it is over; its driver may take `STOP_SECONDS` to end cleanly.

    Raises:
        UnknownJobError: the cluster doesn't know it.
        StorageError: it isn't over in time.
    """
    job = find_job(client, name)
    deadline = time.monotonic() + STOP_SECONDS + _STOP_SLACK
    while not job.over and time.monotonic() < deadline:
        with answering(client.address):
            client.stop_job(name)
        time.sleep(0.5)
        job = find_job(client, name)
    if not job.over:
        raise StorageError(
            f"{name}: still {job.status}", hint=f"Ask again with: distexpand jobs status {name}"
        )
    return job
