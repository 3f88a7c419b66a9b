"""The local runner: threads in this process, no daemon.

Two shards are under way at once, so that one is written while the other is
synced; their blocks share one pool of threads. Only the calling thread
commits.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

from distexpand.commit.committer import Committer
from distexpand.engine.receipt import Receipt
from distexpand.engine.shard import ShardEngine
from distexpand.engine.transforms import single_threaded_transforms
from distexpand.plan.model import ShardPlan
from distexpand.runner.progress import ProgressSink
from distexpand.storage.local import LocalOutput
from distexpand.storage.way import Way
from distexpand.storage.ranges import RangeReader

DEFAULT_THREADS = 4
SHARDS_UNDER_WAY = 2


def run_local(
    committer: Committer,
    readers: Sequence[RangeReader],
    *,
    threads: int,
    stop: threading.Event,
    progress: ProgressSink,
) -> None:
    """Execute the shards that aren't committed yet and commit each as it comes.

    Args:
        committer: holds the plan, says where attempts are written and takes the receipts.
        readers: the plan's sources, in its order.
        threads: blocks that are worked on at once.
        stop: set from outside to end between two blocks.
        progress: told of bytes and shards as they are done.

    Raises:
        StorageError: a source isn't the one planned, or reading or writing failed.
        InterruptedRunError: `stop` was set; what is committed stays.
    """
    plan = committer.plan
    waiting = [shard for shard in plan.shards if shard.name not in committer.receipts]
    done_bytes = sum(receipt.size for receipt in committer.receipts.values())
    progress.start(
        total_bytes=sum(shard.size for shard in plan.shards),
        done_bytes=done_bytes,
        shards=len(plan.shards),
        shards_done=len(committer.receipts),
    )
    try:
        with single_threaded_transforms(plan):
            run = _Run(
                output=LocalOutput(committer.attempts, way=Way.DIRECT),
                committer=committer,
                threads=threads,
                stop=_Stop(stop),
                progress=progress,
            )
            for reader in readers:
                if hasattr(reader, "read_by"):
                    reader.read_by(Way.DIRECT)
            run.execute(waiting, readers)
    finally:
        progress.stop()


class _Stop:
    """Set by the caller's event or by a failure here; the caller's event is only ever looked at."""

    def __init__(self, outer: threading.Event) -> None:
        self._outer = outer
        self._failed = threading.Event()

    def is_set(self) -> bool:
        return self._failed.is_set() or self._outer.is_set()

    def set(self) -> None:
        self._failed.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What all shards of a run share."""

    output: LocalOutput
    committer: Committer
    threads: int
    stop: _Stop
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
