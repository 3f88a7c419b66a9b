"""The constants of the cost model, measured here: bytes a second of one core, and seconds of the driver.

Cores are measured by processor time, so that the disk's rate doesn't matter:
sources and output lie in memory where /dev/shm has the room. A commit is what
the committer does for each shard: its journal synced, the file renamed, the
folder synced.

    python -m benchmarks.cost_constants
"""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import measure
from distexpand.api import plan_expansion
from distexpand.commit.committer import Committer, OutputMode
from distexpand.engine.shard import ShardEngine
from distexpand.engine.transforms import single_threaded_transforms
from distexpand.planning.cost.model import MEASURED
from distexpand.planning.cost.work import plan_work
from distexpand.planning.model import Plan
from distexpand.runner.sources import open_sources, source_stamps
from distexpand.storage.local.directories import LocalOutput
from tests.support.sparse import write_checkpoint

COPIED = """
slices:
- sources: [{model: a, layer_range: [0, 8]}]
merge_method: passthrough
"""
SCALED = COPIED.replace("[0, 8]}", "[0, 8], parameters: {scale: 0.5}}")
BLENDED = """
slices:
- sources:
  - {model: a, layer_range: [0, 8], parameters: {weight: 0.3}}
  - {model: a, layer_range: [0, 8], parameters: {weight: 0.7}}
merge_method: linear
"""
SHARD = 140_000_000
_MEMORY = Path("/dev/shm")


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    arguments = parser.parse_args()
    fast = _MEMORY if arguments.work is None and _MEMORY.exists() else arguments.work
    with measure.work_directory(fast) as work, measure.work_directory(arguments.work) as disk:
        measure.need_free(work, 4 * 10**9)
        model = write_checkpoint(work / "source", "tinyllama-1.1b", num_layers=8, fill="random")
        measure.print_heading("The cost model's constants", work)
        rows = [_rate(name, recipe, model, work) for name, recipe in _kinds()]
        measure.print_table(["kind", "GB/s of one core", "in the model"], rows)
        print(f"Commit of a shard ({disk}): {1000 * _commit_seconds(model, disk):.2f} ms", end=" ")
        print(f"(in the model {1000 * MEASURED.commit:.2f} ms)")
    return 0


def _kinds() -> list[tuple[str, str]]:
    return [("copy", COPIED), ("scale", SCALED), ("blend", BLENDED)]


def _rate(name: str, recipe: str, model: Path, work: Path) -> list[str]:
    """Return the best of three runs."""
    plan = plan_expansion(recipe, origin="r", places={"a": str(model)}, shard_size=SHARD).plan
    used = min(_processor_seconds(plan, work / f"{name}-{number}") for number in range(3))
    shards = plan_work(plan)
    copied, computed = sum(one.copied for one in shards), sum(one.scaled + one.blended for one in shards)
    if not computed:
        return [name, f"{copied / used / 1e9:.2f}", f"{MEASURED.copy / 1e9:.2f}"]
    alone = used - copied / MEASURED.copy
    assumed = MEASURED.scale if name == "scale" else MEASURED.blend
    return [f"{name}, per term", f"{computed / alone / 1e9:.2f}", f"{assumed / 1e9:.2f}"]


def _processor_seconds(plan: Plan, folder: Path) -> float:
    """Execute all shards on one thread and return the seconds of the processor."""
    folder.mkdir()
    with open_sources(plan) as readers, single_threaded_transforms(plan), ThreadPoolExecutor(1) as pool:
        engine = ShardEngine(readers, pool, threading.Event())
        used = 0.0
        for shard in plan.shards:
            started = time.process_time()
            receipt = engine.execute(shard, LocalOutput(folder), lambda _: None)
            used += time.process_time() - started
            (folder / receipt.attempt).unlink()
    return used


def _commit_seconds(model: Path, disk: Path) -> float:
    """Return a commit's seconds, the mean over the shards of a plan."""
    plan = plan_expansion(COPIED, origin="r", places={"a": str(model)}, shard_size=SHARD).plan
    with open_sources(plan) as readers, Committer(disk / "out", plan, OutputMode.FRESH) as committer:
        committer.hold_sources(source_stamps(plan, readers))
        with ThreadPoolExecutor(1) as pool:
            engine = ShardEngine(readers, pool, threading.Event())
            output = LocalOutput(committer.attempts)
            receipts = [engine.execute(shard, output, lambda _: None) for shard in plan.shards]
        started = time.monotonic()
        for receipt in receipts:
            committer.commit(receipt)
        return (time.monotonic() - started) / len(receipts)


if __name__ == "__main__":
    sys.exit(main())
