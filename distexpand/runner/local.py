"""The local runner: threads in this process, no daemon.

Two shards are under way at once, so that one is written while the other is
synced, or two groups of shards that share much of what they are made of; their
blocks share one pool of threads. Only the calling thread commits.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue

from distexpand.commit.outlet import Outlet
from distexpand.engine.receipt import Receipt
from distexpand.engine.shard import ShardEngine
from distexpand.engine.sharing import groups_that_share
from distexpand.engine.transforms import single_threaded_transforms
from distexpand.pauses import pausing, thread_pool
from distexpand.planning.model import ShardPlan
from distexpand.runner.progress import ProgressSink
from distexpand.storage.ranges import OutputStore, RangeReader

DEFAULT_THREADS = 4
GROUPS_UNDER_WAY = 2

MOST_TOGETHER_BYTES = 40_000_000_000
"""Of shards that are worked on together; an interruption may cost what is written ahead of them."""


def run_local(
    committer: Outlet,
    readers: Sequence[RangeReader],
    *,
    output: Callable[[Sequence[ShardPlan]], OutputStore],
    threads: int,
    stop: threading.Event,
    progress: ProgressSink,
    together: int = MOST_TOGETHER_BYTES,
) -> None:
    """Execute the shards that aren't committed yet and commit each as it comes.

    Args:
        committer: holds the plan and takes the receipts.
        readers: the plan's sources, in its order.
        output: gives where attempts are written, for the shards that are.
        threads: blocks that are worked on at once.
        stop: set from outside to end between two blocks.
        progress: told of bytes and shards as they are done.
        together: bytes of shards that are worked on together; one at a time in each lane if zero.

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
                output=output(waiting),
                committer=committer,
                threads=threads,
                stop=_Stop(stop),
                progress=progress,
                together=together,
            )
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

    output: OutputStore
    committer: Outlet
    threads: int
    stop: _Stop
    progress: ProgressSink
    together: int

    def execute(self, shards: Sequence[ShardPlan], readers: Sequence[RangeReader]) -> None:
        """Execute the shards, two groups at a time, and commit each as it comes."""
        # A failure ends the pauses of all others; this thread still commits what is whole.
        with pausing(stop=self.stop):
            pools = thread_pool(self.threads), thread_pool(GROUPS_UNDER_WAY)
        with pools[0] as blocks, pools[1] as lanes:
            engine = ShardEngine(readers, blocks, self.stop)
            waiting = iter(groups_that_share(shards, most_bytes=self.together))
            events: SimpleQueue[Receipt | Future[None]] = SimpleQueue()
            under_way: set[Future[None]] = set()
            try:
                while True:
                    for group in islice(waiting, GROUPS_UNDER_WAY - len(under_way)):
                        under_way.add(self._begin(lanes, engine, group, events))
                    if not under_way:
                        return
                    self._settle(events.get(), under_way)
            except BaseException:
                self.stop.set()
                wait(under_way)
                self._commit_whole(events)
                raise

    def _begin(
        self,
        lanes: ThreadPoolExecutor,
        engine: ShardEngine,
        group: Sequence[ShardPlan],
        events: "SimpleQueue[Receipt | Future[None]]",
    ) -> Future[None]:
        progress, following = self.progress, iter(group[1:])
        progress.shard_begun(group[0].name)

        def done(receipt: Receipt) -> None:
            events.put(receipt)
            for shard in islice(following, 1):
                progress.shard_begun(shard.name)

        future = lanes.submit(engine.execute_together, group, self.output, progress.advance, done)
        future.add_done_callback(events.put)
        return future

    def _settle(self, event: Receipt | Future[None], under_way: set[Future[None]]) -> None:
        """Commit a shard that is whole, or take note that a group is through, raising what made it fail."""
        if isinstance(event, Receipt):
            self._commit(event)
            return
        under_way.discard(event)
        event.result()

    def _commit(self, receipt: Receipt) -> None:
        self.committer.commit(receipt)
        self.progress.shard_done(receipt.shard)

    def _commit_whole(self, events: "SimpleQueue[Receipt | Future[None]]") -> None:
        """Keep the shards that were whole when another one failed."""
        while not events.empty():
            event = events.get()
            if isinstance(event, Receipt):
                self._commit(event)
