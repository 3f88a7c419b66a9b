"""What is imported when: nothing heavy before it is needed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAVY = {"torch", "transformers", "ray", "accelerate", "numpy", "huggingface_hub", "safetensors"}
ENDING = (
    f"\nimport sys; found = sorted({HEAVY!r} & set(sys.modules)); "
    "sys.stderr.write(' '.join(found)); sys.exit(bool(found))"
)


def _run(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program + ENDING], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "program",
    [
        "import distexpand",
        "import distexpand.api",
        "import distexpand.models",
        "import distexpand.training",
        "from distexpand import Job, Progress, RunResult, inspect, plan, run, submit, verify",
        "from distexpand import load_virtual, freeze_original, drop_new_layers",
        "from distexpand.cli.main import run_cli; run_cli(['--help'])",
        "from distexpand.cli.main import run_cli; run_cli(['run', '--help'])",
        "from distexpand.cli.main import run_cli; run_cli(['submit', '--help'])",
        "from distexpand.cli.main import run_cli; run_cli(['jobs', 'list', '--help'])",
        "from distexpand.cli.main import run_cli; run_cli(['eval', '--help'])",
        "from distexpand.cli.main import run_cli; run_cli(['trainable', '--help'])",
    ],
)
def test_importing_and_helping_import_nothing_heavy(program: str) -> None:
    _run(program)


def test_a_run_of_copies_imports_nothing_heavy(model: Path, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _run(
        "from distexpand.cli.main import run_cli\n"
        f"assert run_cli(['plan', {str(recipe)!r}, '--model', 'a={model}']) == 0\n"
        f"assert run_cli(['run', {str(recipe)!r}, {str(out)!r}, '--model', 'a={model}']) == 0\n"
        f"assert run_cli(['verify', {str(out)!r}, '--sources', '--model', 'a={model}']) == 0\n"
    )


def test_help_is_quick() -> None:
    def once() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "distexpand", "--help"], capture_output=True, check=True)
        return time.perf_counter() - started

    slack = 1 if os.environ.get("PYTEST_XDIST_WORKER") else 0.2
    assert min(once() for _ in range(5)) < 0.3 + slack
