"""Whole runs into an object store, and what is left there."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from distexpand.commit.committer import OutputMode
from distexpand.commit.objects.committer import ObjectCommitter
from distexpand.commit.objects.lease import Pace
from distexpand.engine.receipt import Receipt
from distexpand.engine.shard import ShardEngine
from distexpand.pauses import StopSignal
from distexpand.planning.model import Plan, ShardPlan
from distexpand.runner.sources import open_sources, read_side_files, source_stamps
from distexpand.storage.address import Address

QUICK = Pace(beat=0.2, look=0.05, patience=1.0)

DEAD_SOON = Pace(beat=60, look=0.05, patience=0.1)
"""Of a holder without a beat, for whom nobody waits long."""


def run_to_store(
    plan: Plan,
    address: Address,
    *,
    mode: OutputMode = OutputMode.FRESH,
    pace: Pace = QUICK,
    threads: int = 2,
    stop: StopSignal | None = None,
    tell: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> None:
    """Execute a plan shard by shard, as the local runner does; tell of each that is committed."""
    with ObjectCommitter(address, plan, mode, pace=pace, **options) as committer:
        if not committer.finished:
            execute(committer, threads=threads, stop=stop, tell=tell)


def execute(
    committer: ObjectCommitter,
    *,
    threads: int = 2,
    stop: StopSignal | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Make what an output lacks, and publish it."""
    plan = committer.plan
    with open_sources(plan) as readers, ThreadPoolExecutor(threads) as pool:
        committer.hold_sources(source_stamps(plan, readers))
        engine = ShardEngine(readers, pool, stop or threading.Event())
        for shard in plan.shards:
            if shard.name not in committer.receipts:
                committer.commit(engine.execute(shard, committer.store, lambda _: None))
                tell(shard.name)
        committer.publish(read_side_files(plan, readers))


def staged(committer: ObjectCommitter, shard: ShardPlan) -> Receipt:
    """Bring an attempt of zeros at a shard into the store, and return its receipt."""
    with committer.store.begin(shard.name, shard.size) as attempt:
        attempt.finish()
    return Receipt(
        shard=shard.name, attempt=attempt.name, size=shard.size, digest="", tensors=(), seconds=0.0
    )
