"""The local runner: threads in this process, no daemon.

Two shards are under way at once, so that one is written while the other is
synced; their blocks share one pool of threads. Only the calling thread
commits.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from distexpand.commit.committer import Committer
from distexpand.engine.receipt import Receipt
from distexpand.engine.shard import ShardEngine
from distexpand.engine.transforms import single_threaded_transforms
from distexpand.errors import StorageError
from distexpand.intake.pins import compute_pin, read_whole
from distexpand.plan.model import Plan, ShardPlan, SourceFile
from distexpand.runner.progress import ProgressSink
from distexpand.storage.local import LocalOutput, LocalSource
from distexpand.storage.ranges import RangeReader

DEFAULT_THREADS = 4
SHARDS_UNDER_WAY = 2


def run_local(
    plan: Plan,
    output: Path,
    committer: Committer,
    *,
    threads: int,
    stop: threading.Event,
    progress: ProgressSink,
) -> None:
    """Execute the shards that aren't committed yet and commit each as it comes.

    Raises:
        StorageError: a source isn't the one planned, or reading or writing failed.
        InterruptedRunError: `stop` was set; what is committed stays.
    """
    waiting = [shard for shard in plan.shards if shard.name not in committer.receipts]
    done_bytes = sum(receipt.size for receipt in committer.receipts.values())
    progress.start(
        total_bytes=sum(shard.size for shard in plan.shards),
        done_bytes=done_bytes,
        shards=len(plan.shards),
        shards_done=len(committer.receipts),
    )
    try:
        with open_sources(plan, waiting) as readers, single_threaded_transforms(plan):
            run = _Run(
                output=LocalOutput(output), committer=committer, threads=threads, stop=stop, progress=progress
            )
            run.execute(waiting, readers)
    finally:
        progress.stop()


def check_sources(plan: Plan) -> None:
    """Check that every source file is the one that was planned.

    Raises:
        StorageError: it is gone, unreadable, or another one; names model and file.
    """
    locations = dict(plan.locations)
    for source in plan.sources:
        store = LocalSource(Path(locations[source.model]))
        reader = store.open(source.path)
        size = reader.size
        reader.close()
        if size != source.size or compute_pin(store, source.path) != source.pin:
            raise StorageError(
                f"{store.location}/{source.path}: isn't the file that was planned (model {source.model})",
                hint="The source changed since; plan again.",
            )


def read_side_files(plan: Plan) -> dict[str, bytes]:
    """Return the bytes of the plan's copied files by output name.

    Raises:
        StorageError: one can't be read.
    """
    locations = dict(plan.locations)
    return {
        copied.name: read_whole(
            LocalSource(Path(locations[plan.sources[copied.source].model])), plan.sources[copied.source].path
        )
        for copied in plan.copies
    }


@contextmanager
def open_sources(plan: Plan, shards: Sequence[ShardPlan]) -> Iterator[Sequence[RangeReader]]:
    """Open all source files of a plan for as long as some shards are executed."""
    with ExitStack() as stack:
        yield _open_all(plan.sources, dict(plan.locations), stack) if shards else ()


def _open_all(
    sources: Sequence[SourceFile], locations: Mapping[str, str], stack: ExitStack
) -> Sequence[RangeReader]:
    readers = []
    for source in sources:
        reader = LocalSource(Path(locations[source.model])).open(source.path)
        stack.callback(reader.close)
        readers.append(reader)
    return readers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What all shards of a run share."""

    output: LocalOutput
    committer: Committer
    threads: int
    stop: threading.Event
    progress: ProgressSink

    def execute(self, shards: Sequence[ShardPlan], readers: Sequence[RangeReader]) -> None:
        """Execute and commit the shards, two at a time."""
        with ThreadPoolExecutor(self.threads) as blocks, ThreadPoolExecutor(SHARDS_UNDER_WAY) as lanes:
            engine = ShardEngine(readers, blocks, self.stop)
            waiting = iter(shards)
            under_way: set[Future[Receipt]] = set()
            try:
                while True:
                    for shard in islice(waiting, SHARDS_UNDER_WAY - len(under_way)):
                        under_way.add(lanes.submit(engine.execute, shard, self.output, self.progress.advance))
                    if not under_way:
                        return
                    done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    self._commit(done)
            except BaseException:
                self.stop.set()
                self._commit_whole(under_way)
                raise

    def _commit(self, done: set[Future[Receipt]]) -> None:
        """Commit the shards that are whole, then raise what made another one fail."""
        for future in sorted(done, key=lambda future: future.exception() is not None):
            receipt = future.result()
            self.committer.commit(receipt)
            self.progress.shard_done(receipt.shard)

    def _commit_whole(self, under_way: set[Future[Receipt]]) -> None:
        """Keep the shards that were whole when another one failed."""
        finished = wait(under_way).done
        self._commit({future for future in finished if future.exception() is None})
