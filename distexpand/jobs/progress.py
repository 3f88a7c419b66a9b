"""How far a job is, from the last lines of its log: a look, without following it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distexpand.cluster.events import Progressed, RunBegan, RunEnded
from distexpand.errors import DistexpandError
from distexpand.jobs.client import Job
from distexpand.jobs.connection import answering
from distexpand.jobs.event_log import read_line

if TYPE_CHECKING:
    from distexpand.jobs.ray_client import BoundedClient

_LINES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """Bytes in place of those in all (0: not known), and how the run ended, in words."""

    done_bytes: int
    total_bytes: int
    message: str


def progress_of(client: "BoundedClient", job: Job) -> JobProgress | None:
    """Return how far a job is, or nothing where that isn't known: not begun, or its node is gone."""
    if not job.node:
        return None
    try:
        with answering(client.address):
            text = client.tail(job.node, f"job-driver-{job.id}.log", _LINES)
    except DistexpandError:
        return None
    done = total = 0
    message = ""
    for line in text.splitlines():
        match read_line(line)[1]:
            case RunBegan(total_bytes=total, done_bytes=done):
                pass
            case Progressed(total_bytes=total, done_bytes=done):
                pass
            case RunEnded() as ended:
                message = ended.message
                done = total if not ended.exit_code else done
            case _:
                pass
    return JobProgress(done_bytes=done, total_bytes=total, message=message)
