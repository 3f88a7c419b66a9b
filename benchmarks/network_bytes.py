"""Bytes that cross the network: planning Goliath from the Hub, and running by source.

Two 70B-shaped models (Llama-2-70B's true names and shapes, their data a hole) lie on a small Hub on
loopback, which counts what it sends; `distexpand plan` has configs/goliath-120b.yml and nothing else.
Then a smaller model of random values, `[[0,20],[10,30]]`, is run in both layouts, also interrupted
and resumed.

    python -m benchmarks.network_bytes
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import measure
from benchmarks.goliath import RECIPE, sparse_sources
from tests.support.hub_server import HubServer
from tests.support.hub_server.client import environment
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint

LAYER_MAP = "{model: org/base, layer_map: [[0, 20], [10, 30]]}"
SIZES = {"hidden_size": 1024, "intermediate_size": 2816, "vocab_size": 32000, "num_layers": 30}
SHARD_SIZE = "200MB"
MB = 1e6


def main() -> int:
    arguments = measure.argument_parser(__doc__ or "").parse_args()
    with measure.work_directory(arguments.work) as work:
        measure.print_heading("Bytes over the network", work)
        with HubServer(work / "hub") as server:
            os.environ |= environment(server, work / "home")
            _plan_goliath(server, work)
            _run_layouts(server, work)
    return 0


def _plan_goliath(server: HubServer, work: Path) -> None:
    for name, path in sparse_sources(work).items():
        server.hub.add(name, {file.name: file for file in path.iterdir()})
    server.traffic.clear()
    started = time.perf_counter()
    _distexpand("plan", str(RECIPE), "--json")
    seconds = time.perf_counter() - started
    sent, asked = sum(server.traffic.sent.values()), sum(server.traffic.requests.values())
    print(f"Planning Goliath-120b: {sent / MB:.1f} MB in {asked} requests, {seconds:.1f} s\n")


def _run_layouts(server: HubServer, work: Path) -> None:
    shape = family("llama2-7b", **SIZES)
    model = write_checkpoint(work / "base", shape, fill="random", seed=1, shard_size=400_000_000)
    server.hub.add("org/base", {file.name: file for file in model.iterdir()})
    size = sum(file.stat().st_size for file in model.iterdir())
    recipe = work / "recipe.yml"
    recipe.write_text(LAYER_MAP)
    rows = []
    for layout in ("layers", "by-source"):
        for interrupted in (False, True):
            server.traffic.clear()
            output = work / f"{layout}-{interrupted}"
            command = ["run", str(recipe), str(output), "--layout", layout, "--shard-size", SHARD_SIZE]
            if interrupted:
                _interrupted(command, output)
                command.append("--resume")
            _distexpand(*command, "--quiet")
            sent = sum(server.traffic.sent.values())
            rows.append(
                [
                    layout,
                    "yes" if interrupted else "no",
                    f"{size / MB:.0f}",
                    f"{sent / MB:.0f}",
                    f"{sent / size:.3f}",
                ]
            )
    measure.print_table(["layout", "interrupted", "source MB", "sent MB", "times"], rows)


def _interrupted(command: list[str], output: Path) -> None:
    """Start a run and interrupt it once its third shard has its name."""
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            [*measure.distexpand_command(), *command],
            cwd=measure.ROOT,
            env=_environment(),
            stdout=messages,
            stderr=messages,
        )
        while process.poll() is None and len(list(output.glob("model-*"))) < 3:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.wait()


def _distexpand(*arguments: str) -> None:
    command = [*measure.distexpand_command(), *arguments]
    done = subprocess.run(command, cwd=measure.ROOT, env=_environment(), capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}: exit code {done.returncode}\n{done.stderr.decode()}")


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(measure.ROOT), "DISTEXPAND_CHECK_LOAD": "0"}


if __name__ == "__main__":
    sys.exit(main())
