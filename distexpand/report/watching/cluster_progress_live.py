"""Progress of a run on a cluster on a terminal: a bar for all of it, and a row per attempt under way."""

import threading
import time
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from distexpand.cluster.events import AttemptLost, Event, Progressed, RunBegan, RunEnded, ShardDone, Worker
from distexpand.pauses import Retry
from distexpand.report.glyphs import UNICODE, printable, shorten
from distexpand.report.sizes import bytes_text, share_text
from distexpand.report.watching.cluster_words import event_words
from distexpand.report.watching.live import overall_picture
from distexpand.report.watching.state import ProgressState

_PER_SECOND = 4
_PAUSE = 0.5
_OTHER_LINES = 6
_LEAST_ROWS = 3
_NODE_WIDTH, _BAR_WIDTH = 24, 20


class LiveClusterProgress:
    """A bar and rows on a terminal; may be called from any thread."""

    def __init__(self, stream: TextIO, *, verbose: bool = False) -> None:
        """Draw on `stream`; `verbose` also prints the log's other lines."""
        self._console = Console(file=stream)
        self._verbose = verbose
        self._state = ProgressState()
        self._workers: tuple[Worker, ...] = ()
        self._began: RunBegan | None = None
        self._done = self._shards_done = 0
        self._last, self._is_past = time.monotonic(), True
        self._lock = threading.Lock()
        self._live = Live(
            console=self._console,
            get_renderable=self._picture,
            refresh_per_second=_PER_SECOND,
            redirect_stdout=False,
        )
        self._drawing = False

    def show(self, event: Event) -> None:
        """Take one event."""
        words = event_words(event)
        if words:
            self._console.print(Text(words))
        with self._lock:
            self._take(event)
        if isinstance(event, RunBegan) and not self._drawing:
            self._drawing = True
            self._live.start()

    def _take(self, event: Event) -> None:
        match event:
            case RunBegan():
                self._began, self._shards_done = event, event.shards_done
                self._reach(event, event.done_bytes)
            case Progressed():
                self._workers = event.workers
                self._reach(self._began, event.done_bytes)
            case ShardDone():
                self._shards_done += 1
                self._state.shard_done(event.shard)
            case AttemptLost():
                if event.retry:
                    self._state.retried(Retry(place=event.node, reason=event.reason, seconds=0.0))
            case RunEnded():
                self._workers = ()
                if not event.exit_code and self._began is not None:
                    self._reach(self._began, self._began.total_bytes)
            case _:
                pass

    def _reach(self, began: RunBegan | None, done_bytes: int) -> None:
        """Count up, or down for attempts that were lost.

        Who comes back to a job gets its past in one burst, of which no rate is made.
        """
        if began is None:
            return
        now = time.monotonic()
        self._is_past = self._is_past and now - self._last < _PAUSE
        self._last = now
        if self._is_past:
            self._state.start(
                total_bytes=began.total_bytes,
                done_bytes=done_bytes,
                shards=began.shards,
                shards_done=self._shards_done,
            )
        else:
            self._state.advance(done_bytes - self._done)
        self._done = done_bytes

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        self._console.print(Text(text))

    def other(self, line: str) -> None:
        """Take a line of the log that is no event."""
        if self._verbose:
            self._console.print(Text(printable(line, UNICODE)))

    def stop(self) -> None:
        """End, whether the run is over or not; the bar stays as it is."""
        self._state.stop()
        with self._lock:
            self._workers = ()
        if self._drawing:
            self._drawing = False
            self._live.stop()

    def _picture(self) -> RenderableType:
        with self._lock:
            workers = self._workers
        room = max(_LEAST_ROWS, self._console.height - _OTHER_LINES)
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="dim", no_wrap=True)
        rows.add_column(no_wrap=True)
        rows.add_column(no_wrap=True)
        rows.add_column(justify="right", no_wrap=True)
        rows.add_column(style="dim", no_wrap=True)
        for worker in sorted(workers, key=lambda worker: (worker.node, worker.shard))[:room]:
            rows.add_row(*_row(worker))
        if len(workers) > room:
            rows.add_row("", f"and {len(workers) - room} more")
        return Group(overall_picture(self._state.figures()), rows)


def _row(worker: Worker) -> tuple[RenderableType, ...]:
    return (
        Text(shorten(printable(worker.node, UNICODE), _NODE_WIDTH, UNICODE)),
        Text(printable(worker.shard, UNICODE)),
        ProgressBar(total=max(worker.size, 1), completed=worker.done_bytes, width=_BAR_WIDTH),
        share_text(worker.done_bytes, worker.size),
        f"of {bytes_text(worker.size)}",
    )
