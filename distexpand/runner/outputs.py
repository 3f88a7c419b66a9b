"""An output of any kind, opened for a run: who commits, where attempts are written, what room there is."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from distexpand.commit.committer import Committer, OutputMode
from distexpand.commit.outlet import Outlet
from distexpand.planning.model import Plan, ShardPlan
from distexpand.runner.local import MOST_TOGETHER_BYTES
from distexpand.runner.place import Output
from distexpand.runner.room import check_room, check_room_left, check_staging_room
from distexpand.runner.writing import local_output, prepare_reading
from distexpand.storage.address import HUB, Address
from distexpand.storage.local.io_path import WORTH_A_TRIAL
from distexpand.storage.local.scratch import is_streamed, scratch_place
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
    if isinstance(output, Path):
        opened = _directory(plan, output, readers, mode=mode, clone=clone, tell=tell)
    elif output.scheme == HUB:
        opened = _repository(plan, output, readers, mode=mode, tell=tell)
    else:
        opened = _object_store(plan, output, readers, mode=mode, clone=clone, tell=tell)
    with opened as found:
        yield found


@contextmanager
def _directory(
    plan: Plan,
    output: Path,
    readers: Sequence[RangeReader],
    *,
    mode: OutputMode,
    clone: bool,
    tell: Callable[[str], None],
) -> Iterator[OpenedOutput]:
    check_room(plan, readers, output, mode, clone=clone)
    with Committer(output, plan, mode) as committer:
        yield OpenedOutput(
            outlet=committer,
            store=lambda shards: local_output(committer.attempts, readers, shards, clone=clone, tell=tell),
            together=MOST_TOGETHER_BYTES,
            check_room=partial(check_room_left, committer, readers, output, clone=clone),
        )


@contextmanager
def _repository(
    plan: Plan,
    output: Address,
    readers: Sequence[RangeReader],
    *,
    mode: OutputMode,
    tell: Callable[[str], None],
) -> Iterator[OpenedOutput]:
    from distexpand.commit.hub.committer import HubCommitter  # noqa: PLC0415  # for who needs it

    with HubCommitter(output, plan, mode, told=tell) as committer:
        tell(f"sending whole shards to the Hub from {committer.attempts}")
        yield OpenedOutput(
            outlet=committer,
            store=lambda shards: local_output(committer.attempts, readers, shards, clone=False, tell=tell),
            together=0,
            check_room=partial(check_staging_room, committer.plan, output, committer.attempts),
        )


@contextmanager
def _object_store(
    plan: Plan,
    output: Address,
    readers: Sequence[RangeReader],
    *,
    mode: OutputMode,
    clone: bool,
    tell: Callable[[str], None],
) -> Iterator[OpenedOutput]:
    from distexpand.commit.objects.committer import ObjectCommitter  # noqa: PLC0415  # for who needs it

    with ObjectCommitter(output, plan, mode, shares=clone, told=tell) as committer:

        def store(shards: Sequence[ShardPlan]) -> OutputStore:
            trial = sum(shard.size for shard in shards) >= WORTH_A_TRIAL
            prepare_reading(readers, trial=trial, tell=tell)
            tell(f"sending {'parts' if is_streamed(output.scheme) else 'whole shards'} to {output}")
            return committer.store

        yield OpenedOutput(
            outlet=committer,
            store=store,
            together=0,
            check_room=partial(check_staging_room, committer.plan, output, scratch_place()),
        )
