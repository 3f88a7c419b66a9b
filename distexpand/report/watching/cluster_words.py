"""Events of a run on a cluster in words, where they are worth a line."""

from distexpand.cluster.events import AttemptDoubled, AttemptLost, Event, Noted, RunBegan
from distexpand.report.glyphs import UNICODE, Glyphs, printable
from distexpand.report.sizes import bytes_text, plural


def event_words(event: Event, glyphs: Glyphs = UNICODE) -> str:
    """Return one line for an event that a person should see, or nothing."""
    match event:
        case Noted():
            words = event.message if event.level == "info" else f"{event.level}: {event.message}"
        case RunBegan():
            words = _began(event)
        case AttemptLost():
            then = "it is tried again" if event.retry else "it is not tried again"
            words = f"{event.shard}: lost on {event.node or 'an unknown node'}: {event.reason}; {then}"
        case AttemptDoubled():
            words = f"{event.shard}: begun a second time, on {event.node or 'another node'}: {event.reason}"
        case _:
            return ""
    return printable(words, glyphs)


def _began(event: RunBegan) -> str:
    left = f"{plural(event.shards, 'shard')}, {bytes_text(event.total_bytes)}"
    if not event.shards_done:
        return f"making {event.output}: {left}"
    return f"going on with {event.output}: {left}, of which {bytes_text(event.done_bytes)} are there"
