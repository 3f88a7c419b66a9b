"""The cost model against measured runs: processes stand for nodes, token buckets for links and storage.

Each process runs the engine as a node would (attempts at once, threads in each),
reads and writes through a link of its own and a storage that all share; the
parent hands out shards and commits them with the real committer. What is
measured is the time from the first shard handed out to the last one committed.

    python -m benchmarks.throttled_links
"""

import multiprocessing
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.cost_comparison import HEADINGS, compare, table_rows
from benchmarks.throttle import Bucket, ThrottledOutput, ThrottledReader
from distexpand.api import plan_expansion
from distexpand.commit.committer import Committer, OutputMode
from distexpand.engine.shard import ShardEngine
from distexpand.engine.transforms import single_threaded_transforms
from distexpand.planning.cost.demand import Cluster
from distexpand.planning.cost.model import MEASURED
from distexpand.planning.cost.rates import Storage
from distexpand.planning.cost.work import plan_work
from distexpand.planning.model import Plan, ShardPlan
from distexpand.runner.sources import open_sources, read_side_files, source_stamps
from distexpand.storage.local.directories import LocalOutput
from tests.support.shapes import Family, family
from tests.support.sparse import write_checkpoint

NODES = (1, 2, 4)
PER_NODE, THREADS = 2, 4
PIECE_BYTES = 2**20
"""Blocks are scaled down with the rates, so that a shard has as many as usual for its threads."""

HERE = replace(MEASURED, start=0.0, node_start=0.0, finish=0.0, dispatch=0.001, attempt=0.02)
"""No cluster is started here, and processes wait for their work: what is left of the constants."""

RECIPE = """
slices:
- sources: [{model: a, layer_range: [0, 16]}]
- sources: [{model: a, layer_range: [8, 24]}]
merge_method: passthrough
"""
SCALED = RECIPE.replace("[8, 24]}", "[8, 24], parameters: {scale: 0.5}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is held up: rates in bytes a second, shards in bytes of data."""

    name: str
    link: float
    read: float = 1e12
    write: float = 1e12
    shard_size: int = 33_000_000
    recipe: str = RECIPE

    @property
    def storage(self) -> Storage:
        """The storage as the model takes it."""
        return Storage(name="throttled", read=self.read, write=self.write)


LINK = 50e6

CASES = (
    Case(name="Links of 50 MB/s", link=LINK),
    Case(name="Links of 50 MB/s, large shards", link=LINK, shard_size=120_000_000),
    Case(name="Links of 50 MB/s, storage of 100 MB/s each way", link=LINK, read=100e6, write=100e6),
    Case(name="Links of 50 MB/s, storage that writes 60 MB/s", link=LINK, write=60e6),
    Case(name="Links of 50 MB/s, half of it scaled", link=LINK, recipe=SCALED),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What a node's process needs: the plan, where attempts are written, and its buckets."""

    number: int
    plan: Plan
    attempts: Path
    reading: tuple[Bucket, ...]
    writing: tuple[Bucket, ...]


def main() -> int:
    arguments = measure.argument_parser(__doc__ or "").parse_args()
    with measure.work_directory(arguments.work) as work:
        measure.need_free(work, 5 * 10**9)
        model = write_checkpoint(work / "source", _small_model(), fill="random")
        measure.print_heading("The cost model and runs with throttled links", work)
        errors = [error for case in CASES for error in _case(case, model, work)]
    print(f"Largest error {max(map(abs, errors)):.0%}, mean {sum(map(abs, errors)) / len(errors):.0%}.")
    return 0


def _small_model() -> Family:
    """Return a shape of layers of 22 MB."""
    return family("tinyllama-1.1b", num_layers=24, hidden_size=1024, intermediate_size=2816, vocab_size=16000)


def _case(case: Case, model: Path, work: Path) -> list[float]:
    planned = plan_expansion(
        case.recipe, origin="recipe", places={"a": str(model)}, shard_size=case.shard_size
    )
    seconds = [(nodes, measured_run(planned.plan, case, nodes, work / f"out-{nodes}")) for nodes in NODES]
    shards = plan_work(planned.plan, piece_bytes=PIECE_BYTES)
    cluster = Cluster(nodes=1, per_node=PER_NODE, threads=THREADS, network=case.link)
    compared = compare(shards, cluster, case.storage, seconds, constants=HERE)
    size = sum(shard.size for shard in shards)
    print(f"{case.name}: {measure.gigabytes(size)} in {len(shards)} shards\n")
    measure.print_table(HEADINGS, table_rows(compared))
    return [one.error for one in compared]


def measured_run(plan: Plan, case: Case, nodes: int, output: Path) -> float:
    """Run a plan on so many processes and return the seconds from first dispatch to last commit."""
    context = multiprocessing.get_context("spawn")
    storage_in, storage_out = Bucket.of(case.read, context), Bucket.of(case.write, context)
    with open_sources(plan) as readers, Committer(output, plan, OutputMode.FRESH) as committer:
        committer.hold_sources(source_stamps(plan, readers))
        places = [
            Node(
                number=number,
                plan=plan,
                attempts=committer.attempts,
                reading=(Bucket.of(case.link, context), storage_in),
                writing=(Bucket.of(case.link, context), storage_out),
            )
            for number in range(nodes)
        ]
        with _processes(context, places) as (tasks, results):
            seconds = _drive(plan.shards, committer, tasks, results)
        committer.publish(read_side_files(plan, readers))
    shutil.rmtree(output)
    return seconds


@contextmanager
def _processes(context: Any, places: Sequence[Node]) -> Iterator[tuple[list[Any], Any]]:
    tasks = [context.SimpleQueue() for _ in places]
    results = context.SimpleQueue()
    processes = [
        context.Process(target=_node, args=(place, queue, results), daemon=True)
        for place, queue in zip(places, tasks, strict=True)
    ]
    for process in processes:
        process.start()
    for _ in processes:
        results.get()
    try:
        yield tasks, results
    finally:
        for queue in tasks:
            queue.put(None)
        for process in processes:
            process.join()


def _drive(shards: Sequence[ShardPlan], committer: Committer, tasks: Sequence[Any], results: Any) -> float:
    """Keep every slot busy in the plan's order, as the driver of a cluster does."""
    started = time.monotonic()
    waiting = iter(range(len(shards)))
    under_way = 0
    for slot in range(len(tasks) * PER_NODE):
        under_way += _hand_out(waiting, tasks[slot % len(tasks)])
    while under_way:
        node, receipt = results.get()
        committer.commit(receipt)
        under_way += _hand_out(waiting, tasks[node]) - 1
    return time.monotonic() - started


def _hand_out(waiting: Iterator[int], queue: Any) -> int:
    index = next(waiting, None)
    if index is None:
        return 0
    queue.put(index)
    return 1


def _node(place: Node, tasks: Any, results: Any) -> None:
    """Work off a node's tasks until told to end."""
    output = ThrottledOutput(LocalOutput(place.attempts), place.writing)
    with (
        open_sources(place.plan) as readers,
        single_threaded_transforms(place.plan),
        ThreadPoolExecutor(PER_NODE * THREADS) as blocks,
        ThreadPoolExecutor(PER_NODE) as lanes,
    ):
        throttled = [ThrottledReader(reader, place.reading) for reader in readers]
        engine = ShardEngine(throttled, blocks, threading.Event(), piece_bytes=PIECE_BYTES)

        def work(index: int) -> None:
            receipt = engine.execute(place.plan.shards[index], output, lambda _: None)
            results.put((place.number, receipt))

        results.put(place.number)
        while (index := tasks.get()) is not None:
            lanes.submit(work, index)


if __name__ == "__main__":
    sys.exit(main())
