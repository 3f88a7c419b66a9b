"""What a run tells of itself while it works."""

from typing import Protocol

from distexpand.pauses import Retry


class ProgressSink(Protocol):
    """Receives progress; called from several threads."""

    def start(self, *, total_bytes: int, done_bytes: int, shards: int, shards_done: int) -> None:
        """Say what is to be done and what a resumed run finds done."""
        ...

    def shard_begun(self, name: str) -> None:
        """A shard is the next that its lane finishes; several lanes are under way at once."""
        ...

    def advance(self, nbytes: int) -> None:
        """Some more output bytes are in place."""
        ...

    def shard_done(self, name: str) -> None:
        """A shard has its final name."""
        ...

    def retried(self, retry: Retry) -> None:
        """A request to a place elsewhere failed and is made again."""
        ...

    def stop(self) -> None:
        """The run has ended, well or not."""
        ...
