"""Making an expansion on a cluster: a job of its own, followed to its end.

The job outlives a batch that is killed; the next start joins it, as the same
work has the same name. A batch that is *stopped* stops its jobs: it is stopped
because its time is up, and often the cluster's with it. The client sees
neither sources nor output, so that a hook runs where the batch does and has to
be one that can: a command that reaches the output from there.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distexpand.batch.document import Expansion
from distexpand.batch.making import Errand, Outcome, interrupted
from distexpand.batch.status import Failure
from distexpand.cluster.events import Event, RunBegan, RunEnded
from distexpand.cluster.options import ClusterOptions
from distexpand.errors import DistexpandError, RecipeError
from distexpand.jobs.client import Submission, stop_job
from distexpand.jobs.connection import connect
from distexpand.jobs.follow import failure
from distexpand.jobs.request import JobRequest, make_request
from distexpand.jobs.session import run_job
from distexpand.planning.pack import DEFAULT_SHARD_SIZE

if TYPE_CHECKING:
    from distexpand.jobs.ray_client import BoundedClient

_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterMaker:
    """Runs expansions as jobs of the cluster at `address`; `packages` are installed for them."""

    address: str
    options: ClusterOptions
    packages: tuple[str, ...] = ()
    driver_on_worker: bool = False

    def __call__(self, errand: Errand) -> Outcome:
        """Make an expansion, or go on with it."""
        try:
            return self._run(errand)
        except DistexpandError as error:
            return interrupted() if errand.child.stop.is_set() else _failed(error)

    def _run(self, errand: Errand) -> Outcome:
        request = self._request(errand.expansion)
        client = connect(self.address)
        course = _Course(errand)
        with _stopping(client, course, errand.child.stop):
            outcome = run_job(
                client,
                request,
                display=lambda: course,
                submitted=course.submitted,
                told=errand.tell,
                packages=self.packages,
                driver_on_worker=self.driver_on_worker,
            )
        error = failure(outcome)
        if error is not None:
            return interrupted() if errand.child.stop.is_set() else _failed(error)
        return Outcome(code=0, plan=course.plan, key=course.plan)

    def _request(self, expansion: Expansion) -> JobRequest:
        return make_request(
            _recipe_text(expansion),
            origin=str(expansion.recipe),
            places=expansion.models,
            shard_size=expansion.shard_size or DEFAULT_SHARD_SIZE,
            layout=expansion.layout,
            output=str(expansion.output),
            overwrite=expansion.overwrite,
            options=self.options,
            packages=self.packages,
        )


class _Course:
    """Hears what becomes of a job: its name, whether there was work, and the plan's digest."""

    def __init__(self, errand: Errand) -> None:
        self.jobs: list[str] = []
        self.plan = ""
        self._errand = errand

    def submitted(self, submission: Submission) -> None:
        self.jobs.append(submission.job)
        how = "already running as" if submission.joined else "submitted as"
        self._errand.tell(f"{how} {submission.job}")

    def show(self, event: Event) -> None:
        if isinstance(event, RunBegan):
            self.plan = event.plan
            self._errand.began(self.jobs[-1], event.plan)
        if isinstance(event, RunEnded) and event.plan:
            self.plan = event.plan

    def other(self, line: str) -> None:
        """What else is in its log stays there."""

    def stop(self) -> None:
        """Nothing is drawn."""


@contextmanager
def _stopping(client: "BoundedClient", course: _Course, stop: threading.Event) -> Iterator[None]:
    """Stop the job when the batch is told to stop; following it then comes to its end."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            if stop.is_set() and course.jobs:
                with suppress(DistexpandError):
                    stop_job(client, course.jobs[-1])

    watcher = threading.Thread(target=watch, name="stopping")
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _recipe_text(expansion: Expansion) -> str:
    try:
        return expansion.recipe.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{expansion.recipe}: can't read the recipe: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"{expansion.recipe}: not UTF-8 text (byte {error.start})", hint="Convert the file to UTF-8."
        ) from None


def _failed(error: DistexpandError) -> Outcome:
    found = Failure(kind=type(error).__name__, message=error.message, hint=error.hint)
    return Outcome(code=error.exit_code, failure=found)
