"""The load check of a model of 120 billion parameters: seconds, and nothing of it in the calling process."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

from tests.support.sparse import write_checkpoint

_PROGRAM = """
import resource, sys
from distexpand.api import check_load, plan_expansion

recipe = "{model: a, layer_map: [[0, 80], [20, 77]]}"
plan = plan_expansion(recipe, origin="r", places={"a": sys.argv[1]}).plan
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert plan.parameters > 110e9, plan.parameters
assert check_load(plan).loader, "no proof"
assert not {"torch", "transformers"} & set(sys.modules)
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000, "more than 30 MB for the proof"
"""


def test_a_large_output_is_proven_in_seconds_and_flat_memory(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "a", "llama2-70b")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run([sys.executable, "-c", _PROGRAM, str(source)], check=True)
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert seconds < 60, f"{seconds} seconds of processor time"
