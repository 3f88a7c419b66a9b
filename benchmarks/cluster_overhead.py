"""What does a cluster cost where it can't gain anything: three nodes on the machine that also runs alone?

The real SmolLM2-135M (block expansion to 36 layers) and a 7B-shaped checkpoint
with random values (14.5 GB, to 44 layers) are expanded by `distexpand run` and
by `distexpand submit` to a cluster of three nodes on the same machine, in turn,
several times. Every output of the cluster has to be the local run's, file for
file. The promise is at most a tenth and ten seconds more. Needs 40 GB of disk,
freed at the end, and Ray; `--layers 8` makes a smaller 7B.

    python -m benchmarks.cluster_overhead --work DIRECTORY
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure
from benchmarks.checkpoints import file_digests
from distexpand.demo.model import prepare_model
from tests.support import free_ports
from tests.support.sparse import write_checkpoint

SCRIPT = measure.ROOT / "cluster" / "one-machine" / "cluster.sh"
NODES = 3
SHARE, SECONDS = 1.1, 10.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """A source, a recipe for it, and the most tensor data of a shard."""

    name: str
    source: Path
    recipe: str
    shard_size: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """Seconds of the runs of a case."""

    name: str
    written: int
    local: list[float]
    cluster: list[float]

    @property
    def bound(self) -> float:
        """Seconds that the cluster may take."""
        return statistics.median(self.local) * SHARE + SECONDS

    @property
    def kept(self) -> bool:
        """Whether the promise is kept."""
        return statistics.median(self.cluster) <= self.bound


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--layers", type=int, default=32, help="layers of the 7B-shaped source")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind")
    arguments = parser.parse_args()
    with measure.work_directory(arguments.work) as work:
        measure.need_free(work, 3 * 10**9 + arguments.layers * 12 * 10**8)
        with _cluster() as address:
            rows = [
                _measure(case, work, address, arguments.rounds) for case in _cases(work, arguments.layers)
            ]
        _print(rows, work)
    return 0 if all(row.kept for row in rows) else 1


@contextmanager
def _cluster() -> Iterator[str]:
    """Start the cluster as its README says, on ports of its own; yield the address of its Jobs API."""
    directory = Path(tempfile.mkdtemp(prefix="dxo", dir="/tmp"))
    dashboard = free_ports.find()
    os.environ |= {
        "CLUSTER_DIR": str(directory),
        "CLUSTER_PORT": str(free_ports.find()),
        "DASHBOARD_PORT": str(dashboard),
        "RAY": str(Path(sys.executable).with_name("ray")),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(directory / "token"),
    }
    try:
        subprocess.run([SCRIPT, "start", str(NODES)], check=True, stdout=sys.stderr)
        yield f"http://127.0.0.1:{dashboard}"
    finally:
        subprocess.run([SCRIPT, "stop"], check=True)
        shutil.rmtree(directory, ignore_errors=True)


def _cases(work: Path, layers: int) -> Iterator[Case]:
    small = prepare_model(work / "SmolLM2-135M-Instruct")
    recipe = "{model: m, block_expansion: {blocks: 6, where: interleaved}}"
    yield Case(name="SmolLM2-135M", source=small, recipe=recipe, shard_size="50MB")
    large = write_checkpoint(work / "large", "mistral-7b", num_layers=layers, fill="random")
    third = layers // 3
    recipe = f"{{model: m, layer_map: [[0, {layers - third}], [{third}, {layers}]]}}"
    yield Case(name="7B shape", source=large, recipe=recipe, shard_size="1GB")
    shutil.rmtree(large)


def _measure(case: Case, work: Path, address: str, rounds: int) -> Row:
    recipe = work / "recipe.yml"
    recipe.write_text(case.recipe)
    options = ["--model", f"m={case.source}", "--shard-size", case.shard_size, "--quiet"]
    local, cluster, expected, written = [], [], {}, 0
    for number in range(rounds):
        print(f"{case.name}: round {number + 1} ...", file=sys.stderr, flush=True)
        output = work / "out"
        local.append(measure.run_distexpand("run", recipe, output, *options).seconds)
        expected = expected or file_digests(output)
        written = sum(path.stat().st_size for path in output.glob("*.safetensors"))
        shutil.rmtree(output)
        submitted = measure.run_distexpand("submit", recipe, output, "--address", address, *options)
        cluster.append(submitted.seconds)
        if file_digests(output) != expected:
            sys.exit(f"{case.name}: the cluster's output isn't the local run's")
        shutil.rmtree(output)
    return Row(name=case.name, written=written, local=local, cluster=cluster)


def _print(rows: list[Row], work: Path) -> None:
    measure.print_heading(f"A cluster of {NODES} nodes on one machine against a local run", work)
    table = [
        [
            row.name,
            measure.gigabytes(row.written),
            _seconds(row.local),
            _seconds(row.cluster),
            f"{row.bound:.1f}",
            "yes" if row.kept else "NO",
        ]
        for row in rows
    ]
    headings = ["source", "output", "local s (median, all)", "cluster s (median, all)", "bound s", "kept"]
    measure.print_table(headings, table)


def _seconds(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({', '.join(f'{value:.1f}' for value in values)})"


if __name__ == "__main__":
    sys.exit(main())
