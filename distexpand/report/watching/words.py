"""How far a run is, in words: for a line of a log, and for the two lines of a terminal."""

import re

from distexpand.report.glyphs import UNICODE, printable
from distexpand.report.sizes import bytes_text, duration_text, plural, rate_text, remaining_text, share_text
from distexpand.report.watching.state import Figures

_NUMBERED = re.compile(r"model-0*(\d+)-of-\d+\.safetensors")


def line_words(figures: Figures) -> str:
    """Return all that a log's line says."""
    parts = [
        share_text(figures.done_bytes, figures.total_bytes),
        bytes_words(figures),
        rate_words(figures),
        shards_words(figures),
        retry_words(figures),
        time_words(figures),
    ]
    return "  ".join(filter(None, parts))


def bytes_words(figures: Figures) -> str:
    """Return how much is done of how much."""
    return f"{bytes_text(figures.done_bytes)} of {bytes_text(figures.total_bytes)}"


def rate_words(figures: Figures) -> str:
    """Return the rate now and on average; the latter alone once it is over."""
    average = "" if figures.average is None else rate_text(figures.average)
    if figures.over:
        return average
    if figures.silent is not None:
        return f"nothing for {duration_text(figures.silent)}" + (f", {average} on average" if average else "")
    now = "" if figures.now is None else f"{rate_text(figures.now)} now"
    return ", ".join(filter(None, [now, f"{average} on average" if average and now else ""]))


def shards_words(figures: Figures) -> str:
    """Return how many shards are done, and which are being made."""
    count = f"{figures.shards_done} of {plural(figures.shards, 'shard')}"
    names = "" if figures.over else ", ".join(_short(name) for name in figures.under_way)
    return f"{count}, now {names}" if names else count


def _short(name: str) -> str:
    """Return a shard's number if its name has one, as how many there are is said before."""
    numbered = _NUMBERED.fullmatch(name)
    return numbered[1] if numbered else printable(name, UNICODE)


def retry_words(figures: Figures) -> str:
    """Return how often something was tried again, and why the last time."""
    if not figures.retries:
        return ""
    count = "1 retry" if figures.retries == 1 else f"{figures.retries} retries"
    return count if figures.over or not figures.reason else f"{count} ({printable(figures.reason, UNICODE)})"


def time_words(figures: Figures) -> str:
    """Return the time left, or the time that it took."""
    whole = figures.done_bytes >= figures.total_bytes
    if figures.over:
        return f"{'in' if whole else 'ended after'} {duration_text(figures.seconds)}"
    if whole:
        return "finishing"
    return "" if figures.seconds_left is None else remaining_text(figures.seconds_left)
