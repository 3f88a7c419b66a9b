"""Does a run get faster in proportion to nodes? Simulated hosts, throttled links, one shared storage.

A 7B-shaped checkpoint of few layers with random values is expanded by one and
the same plan on 1, 2 and 4 nodes, in turn, several times. Every output has to be the
local run's, file for file. Needs root, sshfs (see shared_storage) and Ray.

    python -m benchmarks.scaling --rate 25 --work /dev/shm [--docs docs]

The rate has to be one that this machine can carry for four hosts at once: see
`benchmarks.raw_mounts`.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import measure
from benchmarks.checkpoints import file_digests
from benchmarks.ray_hosts import PER_NODE, STORE, environment, ray_hosts
from benchmarks.svg_lines import efficiency_plot
from tests.support.sparse import write_checkpoint

COUNTS = (1, 2, 4)
LEAST = 0.85
"""Efficiency at four nodes that is promised."""

_SHARD_SIZE = "120MB"


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds of the runs by number of nodes; `written` is the bytes of the output's shards."""

    written: int
    shards: int
    seconds: dict[int, list[float]] = field(default_factory=dict)

    def median(self, count: int) -> float:
        """The middle one of the seconds."""
        return statistics.median(self.seconds[count])

    def efficiency(self, count: int) -> float:
        """1 where `count` nodes take a `count`-th of one node's time."""
        return self.median(1) / (count * self.median(count))

    def rate(self, count: int) -> float:
        """Bytes a second that each node wrote, over the whole time of the command."""
        return self.written / self.median(count) / count


def main() -> int:
    arguments = _arguments()
    rate = arguments.rate * 1e6
    with measure.work_directory(arguments.work) as work:
        measure.need_free(work, (arguments.layers + 3) * 10**9)
        recipe, expected, times = _prepare(work, arguments.layers)
        for number in range(arguments.rounds):
            for count in COUNTS:
                seconds = _run(work, recipe, count, rate, expected)
                times.seconds.setdefault(count, []).append(seconds)
                print(f"round {number + 1}: {count} nodes, {seconds:.1f} s", file=sys.stderr, flush=True)
        _show(times, rate, work, arguments.docs)
    return 0 if times.efficiency(COUNTS[-1]) >= LEAST else 1


def _arguments() -> argparse.Namespace:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--rate", type=float, default=100, help="MB/s of each node's link in each direction")
    parser.add_argument("--layers", type=int, default=9, help="layers of the output; 0.4 GB each")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each number of nodes")
    parser.add_argument("--docs", type=Path, help="directory for the plot scaling.svg")
    return parser.parse_args()


def _prepare(work: Path, layers: int) -> tuple[Path, dict[str, str], Times]:
    """Write source and recipe, run it here, and return what every other run has to give."""
    kept = -(-layers // 2)
    write_checkpoint(work / "source", "llama2-7b", num_layers=kept, fill="random", shard_size=10**9)
    recipe = work / "recipe.yml"
    recipe.write_text(f"{{model: m, layer_map: [[0, {kept}], [{2 * kept - layers}, {kept}]]}}")
    output = work / "local"
    measure.run_distexpand(
        "run", recipe, output, "--model", f"m={work / 'source'}", "--shard-size", _SHARD_SIZE, "--quiet"
    )
    sizes = [path.stat().st_size for path in output.glob("*.safetensors")]
    expected = file_digests(output)
    shutil.rmtree(output)
    return recipe, expected, Times(written=sum(sizes), shards=len(sizes))


def _run(work: Path, recipe: Path, count: int, rate: float, expected: dict[str, str]) -> float:
    """Return the seconds of a run on `count` nodes, from the command's start to its end."""
    output = f"out{count}"
    with ray_hosts(count, rate=rate, store=work) as cluster:
        command = [*measure.distexpand_command(), "run", STORE / recipe.name, STORE / output]
        command += ["--model", f"m={STORE / 'source'}", "--shard-size", _SHARD_SIZE]
        start = time.perf_counter()
        done = subprocess.run(
            cluster.head.command(
                [*command, "--ray", "--address", cluster.address, "--per-node", str(PER_NODE)]
            ),
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"{count} nodes: exit code {done.returncode}\n{done.stderr}")
    if file_digests(work / output) != expected:
        sys.exit(f"{count} nodes: the output isn't the local run's")
    shutil.rmtree(work / output)
    return seconds


def _show(times: Times, rate: float, work: Path, docs: Path | None) -> None:
    measure.print_heading(f"Nodes behind links of {rate / 1e6:g} MB/s each way", work)
    print(f"{measure.gigabytes(times.written)} in {times.shards} shards; every output is the local run's.\n")
    rows = [
        [
            count,
            f"{times.median(count):.1f} ({', '.join(f'{value:.1f}' for value in times.seconds[count])})",
            f"{times.efficiency(count):.2f}",
            f"{times.rate(count) / 1e6:.1f} MB/s",
            f"{times.rate(count) / rate:.0%}",
        ]
        for count in COUNTS
    ]
    measure.print_table(
        ["nodes", "seconds: median (all)", "efficiency", "written by each node", "of its link"], rows
    )
    if docs:
        lines = {
            "in proportion": [(count, 1.0) for count in COUNTS],
            "measured": [(count, times.efficiency(count)) for count in COUNTS],
            "of the link's rate": [(count, times.rate(count) / rate) for count in COUNTS],
        }
        title = f"Nodes behind links of {rate / 1e6:g} MB/s each way"
        (docs / "scaling.svg").write_text(efficiency_plot(title, lines), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
