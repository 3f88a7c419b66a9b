"""Progress on a terminal: a bar with bytes, rate, time left and shards.

Redrawn by rich's own thread a few times a second, however often `advance` is
called. Rich would also take over standard output while it draws; that is
switched off, because standard output belongs to the command's result.
"""

import threading
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID
from rich.text import Text

from distexpand.report.sizes import bytes_text, duration_text, plural, rate_text, remaining_text, share_text


class _Share(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(share_text(int(task.completed), int(task.total or 0)).rjust(4), style="bold")


class _Bytes(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{bytes_text(task.completed)} of {bytes_text(task.total or 0)}")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else rate_text(speed), style="dim")


class _Time(ProgressColumn):
    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        if task.finished:
            return Text(f"in {duration_text(task.finished_time or 0.0)}", style="dim")
        left = task.time_remaining
        return Text("" if left is None else remaining_text(left), style="dim")


class _Shards(ProgressColumn):
    def render(self, task: Task) -> Text:
        done, shards = task.fields["shards_done"], task.fields["shards"]
        return Text(f"{done} of {plural(shards, 'shard')}")


def overall_bar(console: Console) -> Progress:
    """Return the bar of a whole run; its task has the fields `shards` and `shards_done`."""
    columns = (_Share(), BarColumn(bar_width=None), _Bytes(), _Rate(), _Shards(), _Time())
    return Progress(*columns, console=console, redirect_stdout=False, expand=True)


class LiveProgress:
    """A bar on a terminal; may be called from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._progress = overall_bar(Console(file=stream))
        self._task: TaskID | None = None
        self._shards_done = 0
        self._lock = threading.Lock()

    def start(self, *, total_bytes: int, done_bytes: int, shards: int, shards_done: int) -> None:
        """Begin; `done_bytes` and `shards_done` were done by an earlier run."""
        self._shards_done = shards_done
        self._task = self._progress.add_task(
            "", total=total_bytes, completed=done_bytes, shards=shards, shards_done=shards_done
        )
        self._progress.start()

    def advance(self, nbytes: int) -> None:
        """Count bytes that were written just now."""
        if self._task is not None:
            self._progress.advance(self._task, nbytes)

    def shard_done(self, name: str) -> None:
        """Count a shard that has its final name."""
        del name
        if self._task is not None:
            with self._lock:
                self._shards_done += 1
                self._progress.update(self._task, shards_done=self._shards_done)

    def stop(self) -> None:
        """End, whether the work is done or not; the bar stays as it is."""
        self._progress.stop()
