"""Whole runs into an object store, and what is left there."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from distexpand.commit.committer import OutputMode
from distexpand.commit.object_committer import ObjectCommitter
from distexpand.commit.object_lease import Pace
from distexpand.engine.shard import ShardEngine
from distexpand.plan.model import Plan
from distexpand.runner.sources import open_sources, read_side_files, source_stamps
from distexpand.storage.address import Address

QUICK = Pace(beat=0.2, look=0.05, patience=1.0)


def run_to_store(
    plan: Plan,
    address: Address,
    *,
    mode: OutputMode = OutputMode.FRESH,
    pace: Pace = QUICK,
    threads: int = 2,
    **options: Any,
) -> None:
    """Execute a plan shard by shard, as the local runner does."""
    with open_sources(plan) as readers, ObjectCommitter(address, plan, mode, pace=pace, **options) as committer:
        if committer.finished:
            return
        committer.hold_sources(source_stamps(plan, readers))
        with ThreadPoolExecutor(threads) as pool:
            engine = ShardEngine(readers, pool, threading.Event())
            for shard in committer.plan.shards:
                if shard.name not in committer.receipts:
                    committer.commit(engine.execute(shard, committer.store, lambda _: None))
        committer.publish(read_side_files(plan, readers))
