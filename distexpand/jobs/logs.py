"""A job's log as a stream of lines that survives a lost connection.

A small log is asked for whole, several times a second: Ray's stream of it lags by
one to three seconds and ends four after the job, which for a small model is longer
than the work. A larger one comes as that stream, over a web socket and from its
beginning on. After a lost connection, or a minute of silence, it is asked for again
and what is known already is skipped, so that no line comes twice and none is missed.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from distexpand.errors import DistexpandError, StorageError
from distexpand.jobs.client import Job, find_job
from distexpand.jobs.connection import ClusterAwayError, UnknownJobError, answering

if TYPE_CHECKING:
    from distexpand.jobs.ray_client import BoundedClient

PATIENCE = 120.0
"""Seconds without any answer after which a cluster counts as lost."""

_SMALL = 64 * 2**10
"""Characters up to which a log is asked for whole."""

_BETWEEN_LOOKS = 0.3
_SILENCE = 5.0
_MOST_SILENT = 12
_BETWEEN_TRIES = 1.0
_TRIES_WHEN_OVER = 5
CONTINUE = "Submit the same again when it is back: finished shards stay, and it goes on from there."
"""What to do when a cluster was lost."""


class _Log:
    """What is known of a log: how far it was read, and when the cluster last answered."""

    def __init__(self) -> None:
        self.seen = 0
        self.rest = ""
        self.answered = time.monotonic()
        self.ended = False

    def take(self, text: str) -> list[str]:
        """Add text and return the lines that are whole."""
        self.seen += len(text)
        self.answered = time.monotonic()
        *lines, self.rest = (self.rest + text).split("\n")
        return lines


async def log_lines(
    client: "BoundedClient", name: str, *, told: Callable[[Job], None], patience: float = PATIENCE
) -> AsyncIterator[str]:
    """Yield a job's lines until it is over and all of them were read.

    `told` hears of the job's state every few seconds in which no line comes.

    Raises:
        ClusterAwayError: the cluster didn't answer for `patience` seconds.
        StorageError: the cluster is back and has forgotten the job.
    """
    log = _Log()
    async for text in _small(client, name, log, told, patience):
        for line in log.take(text):
            yield line
    tries = 0
    while not log.ended:
        with contextlib.suppress(*_lost_connection()):
            async for text in _unseen(client, name, log, told, patience):
                for line in log.take(text):
                    yield line
            log.ended = True
        job = await _ask(client, name, log, patience)
        if job is not None and job.over:
            tries += 1
            if log.ended or tries >= _TRIES_WHEN_OVER:
                break
        log.ended = False
        await asyncio.sleep(_BETWEEN_TRIES)
    if log.rest:
        yield log.rest


def _lost_connection() -> tuple[type[Exception], ...]:
    import aiohttp  # noqa: PLC0415 -- optional

    return (aiohttp.ClientError, OSError, RuntimeError, TimeoutError)


async def _small(
    client: "BoundedClient", name: str, log: _Log, told: Callable[[Job], None], patience: float
) -> AsyncIterator[str]:
    """Yield what is new in a log until its job is over or it is no longer small."""
    silent_since, tries, known = time.monotonic(), 0, ""
    while log.seen < _SMALL and tries < _TRIES_WHEN_OVER:
        job = await _ask(client, name, log, patience)
        text = await asyncio.to_thread(_whole, client, name)
        if text and not text.startswith(known):
            # The head's own words, until the driver that runs on another machine has a log there.
            log.seen, log.rest = 0, ""
        if text and len(text) > log.seen:
            silent_since, known = time.monotonic(), text
            yield text[log.seen :]
        elif job is not None and time.monotonic() - silent_since > _SILENCE:
            told(job)
        if job is not None and job.over:
            if text is not None:
                log.ended = True
                return
            tries += 1
        await asyncio.sleep(_BETWEEN_LOOKS)


def _whole(client: "BoundedClient", name: str) -> str | None:
    """Return a log, or nothing if it doesn't come: whether the job is still there is asked apart."""
    try:
        with answering(client.address):
            return str(client.get_job_logs(name))
    except DistexpandError:
        return None


async def _unseen(
    client: "BoundedClient", name: str, log: _Log, told: Callable[[Job], None], patience: float
) -> AsyncIterator[str]:
    """Yield what one connection brings that wasn't there before."""
    skip = log.seen
    chunks = client.tail_job_logs(name)
    coming: asyncio.Task[str] | None = None
    silent = 0
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(chunks))
            done, _ = await asyncio.wait({coming}, timeout=_SILENCE)
            if not done:
                job = await _ask(client, name, log, patience)
                if job is not None:
                    told(job)
                silent += 1
                # A connection may be gone without a word, while others still get through.
                if silent >= _MOST_SILENT:
                    raise TimeoutError(name)
                continue
            try:
                text = coming.result()
            except StopAsyncIteration:
                return
            coming, silent = None, 0
            new = text[skip:]
            skip = max(0, skip - len(text))
            if new:
                yield new
    finally:
        if coming is not None:
            coming.cancel()
            with contextlib.suppress(BaseException):
                await coming
        await chunks.aclose()


async def _ask(client: "BoundedClient", name: str, log: _Log, patience: float) -> Job | None:
    """Return the job's state, or nothing while the cluster doesn't answer.

    Raises:
        DistexpandError: it didn't for too long, or has forgotten the job.
    """
    try:
        job = await asyncio.to_thread(find_job, client, name)
    except UnknownJobError:
        raise StorageError(
            f"{client.address}: the cluster no longer knows {name}; its head was started anew", hint=CONTINUE
        ) from None
    except StorageError:
        if time.monotonic() - log.answered > patience:
            raise ClusterAwayError(
                f"{client.address}: the cluster hasn't answered for {patience:.0f} s; the job is lost "
                "with it unless it comes back",
                hint=CONTINUE,
            ) from None
        return None
    log.answered = time.monotonic()
    return job
