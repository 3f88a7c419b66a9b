"""An archive in a model's place, on a disk or in a bucket, gives what the model gives."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from distexpand.api import run_plan
from tests.api.small import small_model, tree
from tests.elsewhere.places import same_files
from tests.elsewhere.runs import planned

FORMS = {"plain": [], "dense": ["--dense"]}


@pytest.mark.parametrize("kind", ["disk", "s3"])
@pytest.mark.parametrize("form", FORMS)
def test_an_archive_in_a_models_place(places, tmp_path: Path, form: str, kind: str) -> None:
    models = [small_model(tmp_path / name, seed=seed) for seed, name in enumerate(("base", "other"))]
    run_plan(planned("base", "other", {model.name: str(model) for model in models}), tmp_path / "expected")
    put = {}
    for model in models:
        packed = tmp_path / f"{model.name}-packed"
        command = [sys.executable, "-m", "distexpand", "pack", str(model), str(packed), *FORMS[form]]
        subprocess.run(command, check=True, capture_output=True)
        shutil.rmtree(model)
        put[model.name] = places(kind).put(f"{model.name}-{form}", tree(packed))
    run_plan(planned("base", "other", put), tmp_path / "out")
    assert same_files(tree(tmp_path / "out"), tree(tmp_path / "expected"))
