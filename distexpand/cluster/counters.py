"""Counters and a gauge for a monitoring system, by Ray's own metrics; exported with the prefix `ray_`."""

from ray.util.metrics import Counter, Histogram

from distexpand.cluster.events import (
    AttemptDoubled,
    AttemptLost,
    Event,
    EventSink,
    ShardDone,
)

_SECONDS = [1, 3, 10, 30, 100, 300, 1000, 3000]


def counting(events: EventSink, *, run: str) -> EventSink:
    """Return a sink that counts what it passes on."""
    tags = ("run",)
    written = Counter("distexpand_bytes_written", "Bytes of shards with their final name.", tags)
    shards = Counter("distexpand_shards_done", "Shards with their final name.", tags)
    lost = Counter("distexpand_attempts_lost", "Attempts that failed or were lost.", tags)
    doubled = Counter("distexpand_attempts_doubled", "Second attempts at lagging shards.", tags)
    seconds = Histogram(
        "distexpand_shard_seconds", "Duration of whole attempts.", boundaries=_SECONDS, tag_keys=tags
    )
    own = {"run": run}

    def count(event: Event) -> None:
        match event:
            case ShardDone():
                written.inc(event.size, own)
                shards.inc(1, own)
                seconds.observe(event.seconds, own)
            case AttemptLost():
                lost.inc(1, own)
            case AttemptDoubled():
                doubled.inc(1, own)
            case _:
                pass
        events(event)

    return count
