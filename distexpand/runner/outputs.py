"""An output of any kind, opened for a run: who commits, where attempts are written, what room there is."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from distexpand.commit.committer import Committer, OutputMode
from distexpand.commit.outlet import Outlet
from distexpand.plan.model import Plan, ShardPlan
from distexpand.runner.local import MOST_TOGETHER_BYTES
from distexpand.runner.place import Output
from distexpand.runner.room import check_room, check_room_left
from distexpand.runner.writing import local_output
from distexpand.storage.address import Address
from distexpand.storage.ranges import OutputStore, RangeReader


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedOutput:
    """An output that this run holds.

    `store` gives where attempts at some shards are written, `together` is the bytes of shards
    that may be worked on together, and `check_room` refuses what there is no disk for.
    """

    outlet: Outlet
    store: Callable[[Sequence[ShardPlan]], OutputStore]
    together: int
    check_room: Callable[[], None]


@contextmanager
def open_output(
    plan: Plan,
    output: Output,
    readers: Sequence[RangeReader],
    *,
    mode: OutputMode,
    clone: bool,
    tell: Callable[[str], None],
) -> Iterator[OpenedOutput]:
    """Open an output and hold it until the context ends.

    Raises:
        UsageError: the mode doesn't allow what is there.
        OutputError: another run holds it, or it is damaged.
        StorageError: there is no room, or it can't be reached.
    """
    if isinstance(output, Address):
        raise NotImplementedError
    check_room(plan, readers, output, mode, clone=clone)
    with Committer(output, plan, mode) as committer:
        yield OpenedOutput(
            outlet=committer,
            store=lambda shards: local_output(committer.attempts, readers, shards, clone=clone, tell=tell),
            together=MOST_TOGETHER_BYTES,
            check_room=partial(check_room_left, committer, readers, output, clone=clone),
        )
