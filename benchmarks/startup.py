"""How fast does the command line answer, and what does importing the package import?

The median time of `distexpand --help` as the shell sees it, and which heavy
modules are loaded by `import distexpand` and by the command line's module.

    python -m benchmarks.startup
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks import measure

HEAVY = (
    "torch",
    "ray",
    "transformers",
    "numpy",
    "safetensors",
    "accelerate",
    "huggingface_hub",
    "rich",
    "yaml",
)
COMMANDS = ("--help", "--version", "run --help", "plan --help")


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--times", type=int, default=11)
    arguments = parser.parse_args()
    measure.print_heading("Start of the command line", measure.ROOT)
    empty = _seconds([sys.executable, "-c", ""], arguments.times)
    rows = [["python -c ''", *_shown(empty)]]
    for words in COMMANDS:
        seconds = _seconds([*_command(), *words.split()], arguments.times)
        rows.append([f"distexpand {words}", *_shown(seconds)])
    measure.print_table(["command", "median s", "fastest s"], rows)
    modules = [
        [f"import {name}", ", ".join(_heavy_imports(name)) or "none"]
        for name in ("distexpand", "distexpand.cli.main")
    ]
    measure.print_table(["import", "heavy modules loaded"], modules)
    return 0


def _command() -> list[str]:
    """Return the installed script, which is what a user starts, or else this checkout's module."""
    script = Path(sys.executable).with_name("distexpand")
    return [str(script)] if script.exists() else measure.distexpand_command()


def _seconds(command: list[str], times: int) -> list[float]:
    return [measure.run(command).seconds for _ in range(times)]


def _shown(seconds: list[float]) -> tuple[str, str]:
    return f"{statistics.median(seconds):.3f}", f"{min(seconds):.3f}"


def _heavy_imports(module: str) -> list[str]:
    """Return which heavy modules a fresh interpreter has after an import."""
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
        cwd=measure.ROOT,
        env=measure.environment(),
    )
    loaded = set(json.loads(done.stdout))
    return [name for name in HEAVY if name in loaded]


if __name__ == "__main__":
    sys.exit(main())
