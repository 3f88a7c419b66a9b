"""Prove that a plan's output loads, and that every layer keeps its kind, before any byte is written.

The work is done by a process of its own: this one imports neither torch nor
transformers, and what they hold in memory goes with that process. Rejected:
listing per family what a config has to say, which can't know the next model;
loading the finished output, which finds out after hours.
"""

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import distexpand
from distexpand.errors import LoadCheckError, MissingDependencyError
from distexpand.formats.json_record import record
from distexpand.planning.model import Plan
from distexpand.proof.request import LoadProof, ProvenLayer, Question
from distexpand.proof.skeleton import write_output, write_source
from distexpand.recipe.parse import parse_recipe
from distexpand.storage.opening import open_store

_PROGRAM = """import sys
sys.path.insert(0, sys.argv[1])
import distexpand
del sys.path[0]
from distexpand.proof.child import main
main()"""
"""This very package, and nothing else from where it lies."""

_LAST_WORDS = 600
_ALONE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "CUDA_VISIBLE_DEVICES": "",
}
"""The proof asks no network and no device."""


def can_prove() -> bool:
    """Whether transformers and torch are installed here, without importing them."""
    return find_spec("transformers") is not None and find_spec("torch") is not None


def prove(plan: Plan, *, trust_remote_code: bool = False) -> LoadProof:
    """Load a plan's skeleton on the meta device and compare its layers with their sources'.

    Returns:
        How it ended, without a problem; perhaps skipped, with the reason.

    Raises:
        LoadCheckError: a key would be missing, unexpected or mismatched, or a layer of another
            kind than its source layer; names it.
        MissingDependencyError: the proving process can't be started.
        StorageError: no room for the skeleton, or a source is gone.
    """
    if not can_prove():
        return LoadProof(skipped="transformers isn't installed here")
    with tempfile.TemporaryDirectory(prefix="distexpand-") as directory:
        proof = _ask(question_of(plan, Path(directory), trust_remote_code=trust_remote_code))
    if proof.problem:
        raise LoadCheckError(proof.problem, hint=proof.advice)
    return proof


def question_of(plan: Plan, directory: Path, *, trust_remote_code: bool) -> Question:
    """Write the skeletons of a plan and its sources into a directory and return what to ask of them.

    Raises:
        CheckpointError: a source is damaged.
        StorageError: no room for the skeletons, or a source is gone.
    """
    base = str(parse_recipe(plan.recipe, origin="the plan's recipe", default_model=None).base_model)
    locations = dict(plan.locations)
    sources = []
    for number, model in enumerate(dict.fromkeys([base, *(layer.model for layer in plan.layers)])):
        place = directory / f"source-{number}"
        write_source(open_store(locations[model]), place, weights=model == base)
        sources.append((model, str(place)))
    write_output(plan, directory / "output")
    return Question(
        output=str(directory / "output"),
        base=base,
        sources=tuple(sources),
        layers=tuple(
            ProvenLayer(model=layer.model, layer=layer.layer, identity=layer.identity)
            for layer in plan.layers
        ),
        prefix=plan.layer_prefix,
        trust_remote_code=trust_remote_code,
    )


def _ask(question: Question) -> LoadProof:
    # -P: nothing of the directory that this runs in, which may be a stranger's model, is imported
    command = [sys.executable, "-P", "-c", _PROGRAM, str(Path(distexpand.__file__).parents[1])]
    try:
        done = subprocess.run(  # noqa: S603  # this interpreter and program
            command,
            input=question.encode(),
            env={**os.environ, **_ALONE},
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise MissingDependencyError(
            f"can't start the load check: {error.strerror}", hint="Leave it out with --no-check-load."
        ) from None
    answer = done.stdout.rpartition("\n{")[2] if "\n{" in done.stdout else done.stdout.lstrip("{")
    try:
        return record(LoadProof, json.loads("{" + answer))
    except (ValueError, TypeError):
        return LoadProof(
            skipped=f"the load check ended with code {done.returncode}: {_last_words(done.stderr)}"
        )


def _last_words(messages: str) -> str:
    return " ".join(messages.split())[-_LAST_WORDS:] or "no message"
