"""What a run needs of whoever makes an output visible, wherever that output is."""

from collections.abc import Sequence
from typing import Protocol, Self

from distexpand.commit.stamps import SourceStamp
from distexpand.engine.receipt import Receipt
from distexpand.planning.model import Plan


class Outlet(Protocol):
    """An output that is held by one run from its opening to `close`; a context that closes itself.

    On a resume the plan is the stored one, whose texts may be those of an earlier version.
    """

    @property
    def plan(self) -> Plan:
        """The plan to execute."""
        ...

    @property
    def receipts(self) -> dict[str, Receipt]:
        """The shards that have their final names."""
        ...

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        ...

    def hold_sources(self, stamps: Sequence[SourceStamp]) -> None:
        """Note the sources' state, or check it if shards were made of them already; before any commit.

        Raises:
            OutputError: a source changed since.
            StorageError: the note can't be read or written.
        """
        ...

    def commit(self, receipt: Receipt) -> None:
        """Give a shard its final name.

        Raises:
            OutputError: the attempt isn't as its receipt says, or another run has taken the output over.
            StorageError: it failed.
        """
        ...

    def publish(self, side_files: dict[str, bytes]) -> None:
        """Finish the output: side files, texts, index, and the manifest last.

        Raises:
            OutputError: shards are missing, or another run has taken the output over.
            StorageError: a file can't be written.
        """
        ...

    def close(self) -> None:
        """Let go of the output."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...
