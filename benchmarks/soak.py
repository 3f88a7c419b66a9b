"""Does a cluster that is broken at random moments still give the bytes of a local run?

Each run makes the same output of 0.24 GB on a cluster of simulated hosts and is
hit by one fault at a random moment: a worker, raylet or whole host killed, a
host cut off and back, the control service or the head with its driver killed
and started again, the driver killed, the disk full for one node, one node slow,
or its memory used up. What ended is submitted again, as a scheduler would.
Exit code 1 unless, in every run:

- the output is byte for byte that of the local run;
- no final name was ever on a partial file (`final_names.py` watches from the side);
- nothing is left over after `distexpand clean`;
- no shard was tried more often than allowed, and no driver ended with a traceback;
- the output was whole within 240 s.

Needs root, iproute2, sshfs and control groups of the first version; reproducible
but for the machine's own timing by --seed.

    python -m benchmarks.soak --runs 60
"""

import argparse
import json
import random
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from benchmarks import measure
from benchmarks.checkpoints import file_digests
from benchmarks.faults import KINDS
from benchmarks.soak_cluster import SoakCluster, soak_cluster
from benchmarks.soak_run import Run, Work, moments, one_run
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint

RECIPE = "{model: m, layer_map: [[0, 4], [2, 6]]}"
SHARD_SIZE = 9_000_000
_UNDISTURBED = 2


def main() -> int:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _leave)
    choose = random.Random(arguments.seed)
    with measure.work_directory(arguments.work) as directory:
        measure.need_free(directory, 6 * 10**9)
        work = _prepare(directory)
        with soak_cluster(directory, directory / "m") as cluster:
            seconds = _undisturbed_seconds(cluster, work, choose)
            runs = _soak(
                cluster,
                work,
                kinds=arguments.kinds,
                count=arguments.runs,
                seconds=seconds,
                choose=choose,
                figures=arguments.json,
            )
        _print(runs, seconds, arguments, directory)
    return 1 if any(run.problems for run in runs) or len(runs) < arguments.runs else 0


def _arguments() -> argparse.Namespace:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--kinds", nargs="+", choices=sorted(KINDS), default=sorted(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for the figures of every run")
    return parser.parse_args()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(130)


def _prepare(directory: Path) -> Work:
    """Make a random checkpoint and the local run's output."""
    shape = family(
        "llama2-7b",
        num_layers=6,
        hidden_size=1024,
        intermediate_size=2816,
        vocab_size=8000,
        num_attention_heads=8,
        num_key_value_heads=8,
    )
    write_checkpoint(directory / "m", shape, fill="random", shard_size=60_000_000)
    recipe, reference = directory / "recipe", directory / "reference"
    recipe.write_text(RECIPE)
    model = f"m={directory / 'm'}"
    measure.run_distexpand(
        "run", recipe, reference, "--model", model, "--shard-size", str(SHARD_SIZE), "--quiet"
    )
    return Work(
        recipe=RECIPE,
        places={"m": str(directory / "m")},
        shard_size=SHARD_SIZE,
        reference=reference,
        digests=file_digests(reference),
        directory=directory,
    )


def _undisturbed_seconds(cluster: SoakCluster, work: Work, choose: random.Random) -> float:
    """Return how long a run takes that nothing happens to; the first one isn't counted."""
    seconds = []
    for number in range(_UNDISTURBED):
        run = one_run(cluster, work, Run(number=-number, kind="none", moment=0), choose)
        if run.problems:
            sys.exit(f"an undisturbed run went wrong: {run.problems}")
        seconds.append(run.seconds)
    print(f"undisturbed: {', '.join(f'{one:.1f} s' for one in seconds)}", flush=True)
    return seconds[-1]


def _soak(
    cluster: SoakCluster,
    work: Work,
    *,
    kinds: Sequence[str],
    count: int,
    seconds: float,
    choose: random.Random,
    figures: Path | None,
) -> list[Run]:
    runs: list[Run] = []
    for number, kind in enumerate(_schedule(kinds, count, choose), start=1):
        began = time.monotonic()
        run = Run(number=number, kind=kind, moment=0)
        while run.hit is None:
            # A run that was over before its fault came is made again.
            run = Run(number=number, kind=kind, moment=moments(choose, seconds))
            one_run(cluster, work, run, random.Random(choose.random()))
            cluster.mend()
            if run.problems:
                break
        runs.append(run)
        _tell(run, time.monotonic() - began)
        if figures:
            figures.write_text(json.dumps([asdict(one) for one in runs], indent=1) + "\n")
    return runs


def _schedule(kinds: Sequence[str], count: int, choose: random.Random) -> list[str]:
    """Return kinds in random order, each as often as the others."""
    schedule: list[str] = []
    while len(schedule) < count:
        schedule += choose.sample(list(kinds), len(kinds))
    return schedule[:count]


def _tell(run: Run, seconds: float) -> None:
    verdict = "; ".join(run.problems) or "identical"
    print(
        f"{run.number:3} {run.kind:9} at {run.hit or 0:5.1f} s: {run.fault}; "
        f"whole after {run.seconds:.0f} s, {run.submissions} submitted, {run.lost} lost, "
        f"{run.doubled} doubled: {verdict} "
        f"({seconds:.0f} s with mending)",
        flush=True,
    )
    for reason in sorted(set(run.reasons)):
        print(f"      - {reason}", flush=True)


def _print(runs: Sequence[Run], seconds: float, arguments: argparse.Namespace, directory: Path) -> None:
    measure.print_heading("Runs on a cluster, each hit by a fault at a random moment", directory)
    print(f"{len(runs)} runs, seed {arguments.seed}; undisturbed, a run takes {seconds:.0f} s.\n")
    rows = [
        _row(kind, [run for run in runs if run.kind == kind]) for kind in KINDS if kind in arguments.kinds
    ]
    rows.append(_row("all", runs))
    measure.print_table(
        [
            "fault",
            "runs",
            "submitted again",
            "attempts lost",
            "most of one shard",
            "doubled",
            "median",
            "longest",
            "orphans that clean took",
            "identical",
        ],
        rows,
    )


def _row(kind: str, runs: Sequence[Run]) -> list[object]:
    if not runs:
        return [kind, 0, *["-"] * 8]
    right = sum(not run.problems for run in runs)
    return [
        kind,
        len(runs),
        sum(run.submissions - 1 for run in runs),
        sum(run.lost for run in runs),
        max(run.most_tries for run in runs),
        sum(run.doubled for run in runs),
        f"{statistics.median(run.seconds for run in runs):.0f} s",
        f"{max(run.seconds for run in runs):.0f} s",
        sum(run.cleaned for run in runs),
        f"{right} of {len(runs)}",
    ]


if __name__ == "__main__":
    sys.exit(main())
