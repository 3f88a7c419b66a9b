"""Does a run that is killed at random moments and resumed give the bytes of an uninterrupted one?

Expands a random 0.9 GB checkpoint into 2.6 GB of small shards: copies, zeroed
blocks and scaled layers. The process group is ended with SIGKILL at a random
moment, the run is resumed, killed again, and so on until it finishes; then the
whole directory is compared byte for byte. All the while a watcher looks at
every final name from the side (`final_names.py`). Exit code 1 on any difference.

    python -m benchmarks.kill_and_resume --kills 20
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import measure
from benchmarks.checkpoints import file_digests
from benchmarks.final_names import FinalNames
from benchmarks.recipes import MODEL, ZERO_RESIDUAL, NamedRecipe, part, passthrough
from tests.support.sparse import write_checkpoint

LAYERS = 8


@dataclass(kw_only=True)
class Round:
    """One output from its start to its end: when it was killed, and what came of it."""

    kills: list[float] = field(default_factory=list)
    shards: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    looks: int = 0


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shard-size", default="50MB")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    with measure.work_directory(arguments.work) as work:
        measure.need_free(work, 8 * 10**9)
        command = _command(work, arguments.shard_size)
        reference = work / "reference"
        seconds = measure.run_distexpand(*command, reference).seconds
        expected = file_digests(reference)
        rounds: list[Round] = []
        while sum(len(one.kills) for one in rounds) < arguments.kills:
            left = arguments.kills - sum(len(one.kills) for one in rounds)
            rounds.append(_one_round(command, work, seconds, left))
            rounds[-1].problems += _differences(file_digests(work / "out"), expected)
            shutil.rmtree(work / "out")
        _print(rounds, seconds, work)
    return 1 if any(one.problems for one in rounds) else 0


def _command(work: Path, shard_size: str) -> list[str]:
    """Make source and recipe; return the arguments, to which the output is added."""
    write_checkpoint(work / MODEL, "tinyllama-1.1b", num_layers=LAYERS, fill="random")
    document = passthrough(
        part(0, LAYERS),
        part(LAYERS - 1, LAYERS, scale=ZERO_RESIDUAL),
        part(0, LAYERS),
        part(0, LAYERS, scale=0.7071),
        part(LAYERS - 1, LAYERS, scale=ZERO_RESIDUAL),
    )
    recipe = work / "recipe.yml"
    recipe.write_text(NamedRecipe(name="killed", document=document).yaml())
    model = f"{MODEL}={work / MODEL}"
    return ["run", str(recipe), "--model", model, "--shard-size", shard_size, "--quiet"]


def _one_round(command: list[str], work: Path, seconds: float, kills: int) -> Round:
    """Kill and resume one output until it is finished; at most `kills` times."""
    outcome = Round()
    output = work / "out"
    with FinalNames(output, work / "reference") as watcher:
        while True:
            moment = random.uniform(0, seconds) if len(outcome.kills) < kills else None
            killed = _run_until(moment, [*command, str(output), "--resume"])
            if not killed:
                break
            outcome.kills.append(moment or 0.0)
            outcome.shards.append(watcher.whole_shards())
    outcome.looks = watcher.looks
    outcome.problems += watcher.problems
    return outcome


def _run_until(moment: float | None, arguments: list[str]) -> bool:
    """Run `distexpand`; kill it after `moment` seconds. Return whether it was killed."""
    command = [*measure.distexpand_command(), *arguments]
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            command,
            cwd=measure.ROOT,
            env=measure.environment(),
            stdout=messages,
            stderr=messages,
            start_new_session=True,
        )
        deadline = None if moment is None else time.monotonic() + moment
        while process.poll() is None and (deadline is None or time.monotonic() < deadline):
            time.sleep(0.001)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        if process.returncode != 0:
            messages.seek(0)
            sys.exit(f"resumed run: exit code {process.returncode}\n{messages.read().decode()}")
    return False


def _differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    return [
        f"{name}: {'differs from' if name in found and name in expected else 'is only in one,'} the reference"
        for name in sorted(found.keys() | expected.keys())
        if found.get(name) != expected.get(name)
    ]


def _print(rounds: list[Round], seconds: float, work: Path) -> None:
    kills = sum(len(one.kills) for one in rounds)
    measure.print_heading(f"Killed {kills} times with SIGKILL and resumed", work)
    print(f"An uninterrupted run took {seconds:.1f} s.\n")
    rows = [
        [
            number,
            ", ".join(f"{moment:.2f}" for moment in one.kills) or "-",
            ", ".join(map(str, one.shards)) or "-",
            one.looks,
            "DIFFERENT" if one.problems else "identical",
        ]
        for number, one in enumerate(rounds, start=1)
    ]
    headings = ["output", "killed after s", "shards whole by then", "looks from the side", "files"]
    measure.print_table(headings, rows)
    for number, one in enumerate(rounds, start=1):
        for line in one.problems[:10]:
            print(f"- PROBLEM {number}: {line}")


if __name__ == "__main__":
    sys.exit(main())
