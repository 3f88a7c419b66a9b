"""The sources of a run: opened once, checked, read and closed at its end.

What is checked has to be what is read, so a pin is computed through the handle
that the engine reads from: a file that is replaced in between is either not
opened or noticed. Side files are small; they are read whole at once and hold
no descriptor. Rejected: opening for the check, for the sizes and for the work
apart, which leaves two gaps.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from distexpand.commit.stamps import SourceStamp
from distexpand.errors import StorageError
from distexpand.intake.pins import pin_of, read_range
from distexpand.pauses import thread_pool
from distexpand.planning.model import Plan
from distexpand.planning.operations import sources_of
from distexpand.storage.local.open_files import allow_open_files
from distexpand.storage.memory import BytesReader
from distexpand.storage.opening import open_stores
from distexpand.storage.ranges import RangeReader

Found = TypeVar("Found")
_AT_ONCE = 8


@contextmanager
def open_sources(plan: Plan) -> Iterator[Sequence[RangeReader]]:
    """Open all source files of a plan, in its order.

    Raises:
        StorageError: one is gone or unreadable.
    """
    weights = _sources_of_weights(plan)
    allow_open_files(len(weights))
    locations = dict(plan.locations)
    with ExitStack() as stack:
        stores = open_stores(locations[source.model] for source in plan.sources)

        def opened(number: int) -> RangeReader:
            source = plan.sources[number]
            reader = stores[locations[source.model]].open(source.path)
            if number not in weights:
                return _read_and_closed(reader)
            stack.callback(reader.close)
            return reader

        yield _at_once(opened, range(len(plan.sources)))


def check_sources(plan: Plan, readers: Sequence[RangeReader]) -> None:
    """Check that every open source file is the one that was planned.

    Raises:
        CheckpointError: it isn't of the kind that its name says.
        StorageError: it is another one or unreadable; names model and file.
    """
    locations = dict(plan.locations)

    def check(number: int) -> None:
        source, reader = plan.sources[number], readers[number]
        origin = f"{locations[source.model]}/{source.path}"
        if reader.size != source.size or pin_of(reader, source.path, origin=origin) != source.pin:
            raise StorageError(
                f"{origin}: isn't the file that was planned (model {source.model})",
                hint="The source changed since; plan again.",
            )
        # What a server said of the version once has to be what it says still, since runs are resumed by it.
        reader.check_unchanged()

    _at_once(check, range(len(plan.sources)))


def read_side_files(plan: Plan, readers: Sequence[RangeReader]) -> dict[str, bytes]:
    """Return the bytes of the plan's copied files by output name.

    Raises:
        StorageError: one can't be read.
    """
    return {
        copied.name: read_range(readers[copied.source], 0, readers[copied.source].size)
        for copied in plan.copies
    }


def source_stamps(plan: Plan, readers: Sequence[RangeReader]) -> tuple[SourceStamp, ...]:
    """Return what tells a later run whether a source's weights are still those of this one."""
    return tuple(
        SourceStamp(
            model=plan.sources[number].model,
            path=plan.sources[number].path,
            size=readers[number].size,
            version=readers[number].version,
        )
        for number in sorted(_sources_of_weights(plan))
    )


def _at_once(work: Callable[[int], Found], numbers: Sequence[int]) -> list[Found]:
    """Return the work's results in order: several at once, as a server may take its time for each.

    What fails first in order is raised, once nothing is under way any more.
    """
    with thread_pool(_AT_ONCE) as pool:
        futures = [pool.submit(work, number) for number in numbers]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
            wait(futures)


def _read_and_closed(reader: RangeReader) -> RangeReader:
    try:
        return BytesReader(read_range(reader, 0, reader.size))
    finally:
        reader.close()


def _sources_of_weights(plan: Plan) -> set[int]:
    return set(sources_of(operation for shard in plan.shards for operation in shard.operations))
