"""Real bad inputs, one for each section of docs/errors.md; a folder holds the model `models/a` and a recipe.

Each function is called in that folder and does what its section is about; the page shows what it raises.
"""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import distexpand
from distexpand.commit.hub.commit import BranchMovedError
from distexpand.jobs.connection import JobTakenError, UnknownJobError, job_error
from distexpand.storage.hub.errors import HubError
from distexpand.verifying.report import require_ok

Example = Callable[[], object]
EXAMPLES: dict[str, Example] = {}
"""By the heading of the section."""

A = {"a": "models/a"}
OUT = Path("out")


def example(heading: str) -> Callable[[Example], Example]:
    def keep(function: Example) -> Example:
        EXAMPLES[heading] = function
        return function

    return keep


def _recipe(text: str) -> Path:
    path = Path("recipe.yml")
    path.write_text(text)
    return path


def _run(**options: object) -> object:
    return distexpand.run("recipe.yml", OUT, models=A, check_load=False, **options)  # type: ignore[arg-type]


@example("A recipe's file isn't there")
def _() -> object:
    return distexpand.plan("recipy.yml")


@example("A model's place is given under another name")
def _() -> object:
    return distexpand.plan("recipe.yml", models={"A": "models/a"})


@example("A model isn't there")
def _() -> object:
    return distexpand.plan("recipe.yml", models={"a": "./models/aa"})


@example("The output is taken")
def _() -> object:
    OUT.mkdir()
    (OUT / "notes.txt").write_text("mine")
    return _run()


@example("A plan is settled")
def _() -> object:
    distexpand.save_plan(distexpand.plan("recipe.yml", models=A), "kept.plan")
    return distexpand.run("kept.plan", OUT, shard_size="1GB")


@example("An unknown key")
def _() -> object:
    return distexpand.plan(_recipe("model: a\nblock_expansion: {bloks: 2}\n"), models=A)


@example("Not YAML")
def _() -> object:
    return distexpand.plan(_recipe("model: a\nlayer_map: [[0, 4]\n"), models=A)


@example("A range beyond the model")
def _() -> object:
    return distexpand.plan(_recipe("model: a\nlayer_map: [[0, 40]]\n"), models=A)


@example("A merge method that isn't an expansion")
def _() -> object:
    text = "merge_method: slerp\nslices: [{sources: [{model: a, layer_range: [0, 4]}]}]\n"
    return distexpand.plan(_recipe(text), models=A)


@example("A file was cut short")
def _() -> object:
    shard = max(Path("models/a").glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-10])
    return distexpand.plan("recipe.yml", models=A)


@example("A shard is missing")
def _() -> object:
    max(Path("models/a").glob("*.safetensors")).unlink()
    return distexpand.plan("recipe.yml", models=A)


@example("No stack of that name")
def _() -> object:
    return distexpand.plan(_recipe("model: a\nstack: model.layer\nlayer_map: [[0, 4]]\n"), models=A)


@example("Layers that the config has no words for")
def _() -> object:
    path = Path("models/a/config.json")
    config = json.loads(path.read_text())
    del config["num_hidden_layers"]
    path.write_text(json.dumps(config))
    return distexpand.plan("recipe.yml", models=A)


@example("A source changed since it was planned")
def _() -> object:
    planned = distexpand.plan("recipe.yml", models=A)
    shard = max(Path("models/a").glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes() + b"\0")
    return distexpand.run(planned, OUT, check_load=False)


@example("A source is gone")
def _() -> object:
    planned = distexpand.plan("recipe.yml", models=A)
    shutil.rmtree("models/a")
    return distexpand.run(planned, OUT, check_load=False)


@example("An output without an end")
def _() -> object:
    return distexpand.verify("models/a")


@example("Two runs at once")
def _() -> object:
    OUT.mkdir()

    def second(progress: distexpand.Progress) -> None:
        if progress.shards_done:
            _run(resume=True, shard_size=5000)

    return _run(progress=second, shard_size=5000)


@example("A tensor isn't as it was written")
def _() -> object:
    result = _run()
    path = Path(result.paths[0])  # type: ignore[attr-defined]
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(raw)
    return require_ok(distexpand.verify(OUT), OUT)


@example("A run was stopped")
def _() -> object:
    stop = threading.Event()
    return _run(stop=stop, progress=lambda _: stop.set(), shard_size=5000)


@example("A job that the cluster doesn't know")
def _() -> object:
    raise job_error(UnknownJobError(""), job="distexpand-0123456789abcdef-1", address="http://127.0.0.1:8265")


@example("A cluster that doesn't answer")
def _() -> object:
    return distexpand.submit(
        "recipe.yml", "/models/out", address="http://127.0.0.1:9", models={"a": "/models/a"}
    )


RAISED_ELSEWHERE = {
    BranchMovedError: "tests/commit, against a Hub on this machine",
    JobTakenError: "tests/jobs; caught where it is raised, so that no user meets it",
    HubError: "tests/storage, against a Hub on this machine",
    distexpand.LoadCheckError: "tests/proof",
    distexpand.MissingDependencyError: "tests of what each library is needed for",
}
"""Kinds whose examples need a server, or a machine without a library: where they are raised for real."""
