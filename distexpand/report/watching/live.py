"""Progress on a terminal: a bar with bytes and time left; below it rates, shards and what was tried again.

Redrawn by rich's own thread a few times a second, however often `advance` is
called. Rich would also take over standard output while it draws; that is
switched off, because standard output belongs to the command's result. Neither
line is ever longer than the terminal is wide: one that wraps is drawn anew
below itself each time.
"""

from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from distexpand.pauses import Retry
from distexpand.report.sizes import share_text
from distexpand.report.watching.state import Figures, ProgressState
from distexpand.report.watching.words import (
    bytes_words,
    rate_words,
    retry_words,
    shards_words,
    time_words,
)

_PER_SECOND = 4
_INDENT = "     "


def overall_picture(figures: Figures) -> RenderableType:
    """Return the two lines of a whole run."""
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(width=4, no_wrap=True, justify="right", style="bold")
    bar.add_column(ratio=1, no_wrap=True)
    bar.add_column(no_wrap=True)
    bar.add_column(no_wrap=True, style="dim")
    bar.add_row(
        share_text(figures.done_bytes, figures.total_bytes),
        ProgressBar(total=max(figures.total_bytes, 1), completed=figures.done_bytes),
        bytes_words(figures),
        time_words(figures),
    )
    parts = [rate_words(figures), shards_words(figures), retry_words(figures)]
    below = _INDENT + "  ".join(filter(None, parts))
    return Group(bar, Text(below, style="dim", no_wrap=True, overflow="ellipsis"))


class LiveProgress:
    """A bar on a terminal; may be called from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream)
        self._state = ProgressState()
        self._live = Live(
            console=self._console,
            get_renderable=lambda: overall_picture(self._state.figures()),
            refresh_per_second=_PER_SECOND,
            redirect_stdout=False,
        )

    def start(self, *, total_bytes: int, done_bytes: int, shards: int, shards_done: int) -> None:
        """Begin; `done_bytes` and `shards_done` were done by an earlier run."""
        self._state.start(
            total_bytes=total_bytes, done_bytes=done_bytes, shards=shards, shards_done=shards_done
        )
        self._live.start()

    def advance(self, nbytes: int) -> None:
        """Count bytes that were written just now."""
        self._state.advance(nbytes)

    def shard_begun(self, name: str) -> None:
        """Note what is being made."""
        self._state.shard_begun(name)

    def shard_done(self, name: str) -> None:
        """Count a shard that has its final name."""
        self._state.shard_done(name)

    def retried(self, retry: Retry) -> None:
        """Count something that is tried again."""
        self._state.retried(retry)

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        self._console.print(Text(text))

    def stop(self) -> None:
        """End, whether the work is done or not; the bar stays as it is."""
        self._state.stop()
        self._live.stop()
