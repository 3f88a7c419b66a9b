"""A job's events as progress, and following it from where an event loop runs already."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from distexpand.cluster.events import Event, Progressed, RunBegan, RunEnded, ShardDone
from distexpand.runner.progress import ProgressSink

Result = TypeVar("Result")


class JobDisplay:
    """Shows a job's events as progress."""

    def __init__(self, sink: ProgressSink) -> None:
        self._sink = sink
        self._done = self._total = 0

    def show(self, event: Event) -> None:
        """Count what an event tells; a lost attempt's bytes may take some back, which isn't shown."""
        match event:
            case RunBegan():
                self._done, self._total = event.done_bytes, event.total_bytes
                self._sink.start(
                    total_bytes=event.total_bytes,
                    done_bytes=event.done_bytes,
                    shards=event.shards,
                    shards_done=event.shards_done,
                )
            case Progressed() if event.done_bytes > self._done:
                self._sink.advance(event.done_bytes - self._done)
                self._done = event.done_bytes
            case ShardDone():
                self._sink.shard_done(event.shard)
            case RunEnded(exit_code=0) if self._done < self._total:
                self._sink.advance(self._total - self._done)
                self._done = self._total
            case _:
                pass

    def other(self, line: str) -> None:
        """Leave out a line of the log that is no event."""

    def stop(self) -> None:
        """End."""
        self._sink.stop()


def outside_loops(work: Callable[[], Result]) -> Result:
    """Do what runs an event loop of its own, in another thread where this one has a loop (a notebook's)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    future: Future[Result] = Future()

    def do() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  # raised by the caller's thread
            future.set_exception(error)

    threading.Thread(target=do, daemon=True, name="following").start()
    return future.result()
