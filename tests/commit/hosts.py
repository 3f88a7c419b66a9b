"""Several hosts that share an output's directory but no locks, all within one process.

What can't be seen from one host on another is left out: the operating system's
lock (its file is taken away) and, once a host is cut off, its beat.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from distexpand.commit import lease
from distexpand.commit.committer import Committer, OutputMode
from distexpand.commit.work_directory import WorkDirectory
from distexpand.engine.receipt import Receipt
from distexpand.engine.shard import ShardEngine
from distexpand.planning.model import Plan, ShardPlan
from distexpand.runner.sources import open_sources, read_side_files, source_stamps
from distexpand.storage.local.directories import LocalOutput


@contextmanager
def on_host(name: str, output: Path, *, patience: float = 0.3) -> Iterator[None]:
    """Be a host that finds the locks of all others free."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lease, "_place", lambda _: name)
        patch.setattr(lease, "PATIENCE_SECONDS", patience)
        patch.setattr(lease, "_AGAIN_SECONDS", 0.02)
        WorkDirectory(output=output).lock.unlink(missing_ok=True)
        yield


def cut_off(committer: Committer) -> None:
    """Let a committer's beat end without its knowledge."""
    assert committer._lease is not None
    committer._lease._ended.set()


def hold_sources(committer: Committer) -> None:
    """Do what every run does between opening the output and its first shard."""
    with open_sources(committer.plan) as readers:
        committer.hold_sources(source_stamps(committer.plan, readers))


def attempted(committer: Committer, shard: ShardPlan) -> Receipt:
    """Execute a shard as a worker of this committer would."""
    with open_sources(committer.plan) as readers, ThreadPoolExecutor(2) as pool:
        engine = ShardEngine(dict(enumerate(readers)), pool, threading.Event())
        return engine.execute(shard, LocalOutput(committer.attempts), lambda _: None)


def publish(committer: Committer) -> None:
    """Finish an output whose shards are all there."""
    with open_sources(committer.plan) as readers:
        committer.publish(read_side_files(committer.plan, readers))


def run_some(plan: Plan, output: Path, mode: OutputMode, *, shards: int) -> None:
    """Commit so many shards, or all and publish; then leave as a process does that is killed."""
    committer = Committer(output, plan, mode)
    if committer.finished:
        return
    hold_sources(committer)
    for shard in committer.plan.shards[:shards]:
        if shard.name not in committer.receipts:
            committer.commit(attempted(committer, shard))
    if len(committer.receipts) == len(committer.plan.shards):
        publish(committer)
        committer.close()
    else:
        cut_off(committer)
