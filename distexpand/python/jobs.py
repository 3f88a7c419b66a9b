"""`distexpand.submit` and `distexpand.find_job`: an expansion on a cluster, which outlives this process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distexpand.cluster.options import DEFAULT_PER_NODE, DEFAULT_THREADS, DEFAULT_TRIES, ClusterOptions
from distexpand.errors import UsageError
from distexpand.intake.recipe_text import RecipeLike, RecipeText, recipe_text
from distexpand.jobs.client import find_job as find_known
from distexpand.jobs.client import job_log, stop_job
from distexpand.jobs.connection import connect_to
from distexpand.jobs.follow import Outcome, failure, follow
from distexpand.jobs.progress import progress_of
from distexpand.jobs.request import JobRequest, make_request
from distexpand.jobs.session import run_job
from distexpand.python.arguments import LayoutName, Place, layout_of, places_of, shard_bytes, thread_count
from distexpand.python.following import JobDisplay, outside_loops
from distexpand.python.progress import ProgressLike, sink_of
from distexpand.python.saved_plan import is_saved_plan

if TYPE_CHECKING:
    from distexpand.jobs.ray_client import BoundedClient


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """A look at a job. Sizes are bytes, 0 where they aren't known; times are seconds since the epoch.

    `status` is Ray's word: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED. `message` says how it ended.
    """

    status: str
    over: bool
    done_bytes: int
    total_bytes: int
    started: float
    ended: float | None
    exit_code: int | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """A job that has made its output, or found it made (`made` is false then)."""

    id: str
    output: str
    made: bool
    seconds: float
    total_bytes: int


class Job:
    """A job on a cluster; forgetting it, or ending this process, changes nothing for the job.

    `id` is its name there, `address` the cluster's Jobs API, `output` the directory that it makes.
    """

    def __init__(self, client: "BoundedClient", *, name: str, output: str) -> None:
        self._client = client
        self.id = name
        self.output = output

    @property
    def address(self) -> str:
        """The cluster's Jobs API."""
        return self._client.address

    def __repr__(self) -> str:
        return f"<Job {self.id} at {self.address}: {self.output}>"

    def status(self) -> JobStatus:
        """Say how far the job is, or how it ended.

        Raises:
            DistexpandError: the cluster can't be reached, or no longer knows the job.
        """
        job = find_known(self._client, self.id)
        done = progress_of(self._client, job)
        return JobStatus(
            status=job.status,
            over=job.over,
            done_bytes=done.done_bytes if done is not None else 0,
            total_bytes=done.total_bytes if done is not None else 0,
            started=job.started,
            ended=job.ended or None,
            exit_code=job.exit_code,
            message=done.message if done is not None and done.message else job.message,
        )

    def wait(self, *, progress: ProgressLike = None) -> JobResult:
        """Follow the job to its end; an interrupt ends the following, never the job.

        Args:
            progress: as for `run`, from the job's beginning on.

        Raises:
            DistexpandError: what the job failed with, as it was raised there.
            InterruptedRunError: the job was stopped.
        """
        display = JobDisplay(sink_of(progress))
        outcome = outside_loops(lambda: follow(self._client, self.id, display))
        _raise_failure(outcome)
        ended, began = outcome.ended, outcome.began
        return JobResult(
            id=self.id,
            output=self.output,
            made=ended is None or ended.made,
            seconds=ended.seconds if ended is not None else outcome.job.ended - outcome.job.started,
            total_bytes=began.total_bytes if began is not None else 0,
        )

    def logs(self) -> str:
        """Return all that the job has written so far: one JSON object a line is an event of the run.

        Raises:
            DistexpandError: the cluster can't be reached, or no longer knows the job.
        """
        return job_log(self._client, self.id)

    def stop(self) -> JobStatus:
        """Stop the job and wait until it is over; finished shards stay, and the same submitted again goes on.

        Raises:
            DistexpandError: it isn't over in time, or the cluster can't be reached.
        """
        stop_job(self._client, self.id)
        return self.status()


def submit(
    recipe: RecipeLike,
    output: str,
    *,
    address: str | None = None,
    models: Mapping[str, Place] | None = None,
    model: Place | None = None,
    shard_size: int | str | None = None,
    layout: LayoutName | None = None,
    overwrite: bool = False,
    threads: int = DEFAULT_THREADS,
    per_node: int = DEFAULT_PER_NODE,
    max_in_flight: int | None = None,
    tries: int = DEFAULT_TRIES,
    wait_for_nodes: float = 0.0,
    packages: Sequence[str] = (),
    driver_on_worker: bool = False,
) -> Job:
    """Expand on a Ray cluster, by a job there; return when it has begun.

    Paths are the cluster's: the recipe alone is read here. The same recipe, models and output are one job,
    however often they are submitted; a job that was stopped or lost goes on where it ended.

    Args:
        recipe: a recipe's path, text or content; not a plan, which names places of this machine.
        output: the directory to make, on all machines of the cluster.
        address: the cluster's Jobs API, as `http://HEAD:8265`; the environment's if not given.
        models: path or address, on the cluster, of the models that the recipe names.
        model: likewise, of a recipe that names none.
        shard_size: most tensor data per shard, in bytes or as text.
        layout: which tensors share a shard.
        overwrite: replace what an earlier run wrote to the output.
        threads: blocks worked on at once, of each shard.
        per_node: shards at once on one node.
        max_in_flight: shards at once in all.
        tries: attempts at one shard.
        wait_for_nodes: seconds for the first node of a cluster that scales from nothing.
        packages: requirements to install for the job, where the cluster's machines lack them.
        driver_on_worker: for a head that doesn't mount sources and output.

    Raises:
        OutputTakenError: another job is making this output by another recipe.
        DistexpandError: the recipe can't be read, the cluster refuses, or the run failed at once.
    """
    given = _submittable(recipe)
    request = make_request(
        given.text,
        origin=given.origin,
        places=places_of(model, models),
        shard_size=shard_bytes(shard_size),
        layout=layout_of(layout),
        output=output,
        overwrite=overwrite,
        options=ClusterOptions(
            per_node=per_node,
            threads=thread_count(threads),
            max_in_flight=max_in_flight,
            tries=tries,
            wait_for_nodes=wait_for_nodes,
        ),
        packages=packages,
    )
    client = connect_to(address)
    outcome = outside_loops(lambda: _begun(client, request, packages, driver_on_worker=driver_on_worker))
    if outcome.over:
        _raise_failure(outcome)
    return Job(client, name=outcome.job.id, output=outcome.job.output)


def find_job(name: str, *, address: str | None = None) -> Job:
    """Come back to a job that was submitted, by its name.

    Raises:
        DistexpandError: the cluster can't be reached, or doesn't know it.
    """
    client = connect_to(address)
    return Job(client, name=name, output=find_known(client, name).output)


def _submittable(recipe: RecipeLike) -> RecipeText:
    given = recipe_text(recipe)
    if is_saved_plan(given.text.encode()):
        raise UsageError(
            f"{given.origin}: a saved plan can't be submitted: it names the places that its sources had "
            "where it was made",
            hint="Submit the recipe.",
        )
    return given


def _begun(
    client: "BoundedClient", request: JobRequest, packages: Sequence[str], *, driver_on_worker: bool
) -> Outcome:
    return run_job(
        client,
        request,
        display=lambda: JobDisplay(sink_of(None)),
        submitted=lambda _: None,
        told=lambda _: None,
        packages=packages,
        driver_on_worker=driver_on_worker,
        until_begun=True,
    )


def _raise_failure(outcome: Outcome) -> None:
    error = failure(outcome)
    if error is not None:
        raise error
