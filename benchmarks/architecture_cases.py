"""One architecture through the whole program: build it tiny, expand it, judge what came out."""

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import yaml

from tests.support.architectures import Auto

What = Literal["stack", "identity", "sharded", "inside", "mergekit"]
Status = Literal["pass", "refused", "wrong", "unbuildable", "crashed"]

LAYERS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An expansion that every architecture goes through: recipes, with the layers that they ask for."""

    what: What
    recipe: str
    layer_map: tuple[int, ...]
    new: tuple[int, ...] = ()
    shard_size: int = 10**9


_STACK = "{model: m, layer_map: [[0, 4], [2, 6]]}"
_ODD = "{model: m, layer_map: [[0, 2], [1, 2], [3, 6], [2, 5]]}"
_TAIL = "{model: m, layer_map: [[0, 5], [3, 6]]}"
_BLOCK = "{model: m, block_expansion: {blocks: 1, where: end}}"
_INSIDE = "{model: m, block_expansion: {after: [1, 3]}}"

CASES = (
    Case(what="stack", recipe=_STACK, layer_map=(0, 1, 2, 3, 2, 3, 4, 5)),
    Case(what="stack", recipe=_ODD, layer_map=(0, 1, 1, 3, 4, 5, 2, 3, 4)),
    Case(what="stack", recipe=_TAIL, layer_map=(0, 1, 2, 3, 4, 3, 4, 5)),
    Case(what="mergekit", recipe=_STACK, layer_map=(0, 1, 2, 3, 2, 3, 4, 5)),
    Case(what="mergekit", recipe=_ODD, layer_map=(0, 1, 1, 3, 4, 5, 2, 3, 4)),
    Case(what="identity", recipe=_BLOCK, layer_map=(0, 1, 2, 3, 4, 5, 5), new=(6,)),
    Case(what="inside", recipe=_INSIDE, layer_map=(0, 1, 1, 2, 3, 3, 4, 5), new=(2, 5)),
    Case(what="sharded", recipe=_STACK, layer_map=(0, 1, 2, 3, 2, 3, 4, 5), shard_size=30_000),
    Case(what="sharded", recipe=_BLOCK, layer_map=(0, 1, 2, 3, 4, 5, 5), new=(6,), shard_size=30_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one case of one architecture ended, and why."""

    architecture: str
    what: str
    recipe: str
    status: Status
    reason: str = ""


def name_of(auto: Auto, model_type: str) -> str:
    """Return what an architecture is called in the table: the causal ones by model type alone."""
    return model_type if auto == "causal" else f"{auto}:{model_type}"


def split_name(architecture: str) -> tuple[Auto, str]:
    """Return auto class and model type of a name."""
    auto, _, model_type = architecture.rpartition(":")
    return (auto or "causal"), model_type  # type: ignore[return-value]


def run_architecture(architecture: str, whats: Sequence[str], work: Path) -> list[Result]:
    """Build an architecture and run its cases; whatever happens is a result."""
    from tests.support.architectures import write_tiny  # noqa: PLC0415  # torch, in the worker alone

    auto, model_type = split_name(architecture)
    cases = [case for case in CASES if case.what in whats]
    results = []
    for sharded in dict.fromkeys(case.what == "sharded" for case in cases):
        # A name of its own: mergekit remembers what it found in a directory.
        source = work / architecture.replace(":", "-")
        shutil.rmtree(source, ignore_errors=True)
        try:
            write_tiny(
                source,
                model_type,
                num_layers=LAYERS,
                auto=auto,
                max_shard_size=30_000 if sharded else "5GB",
            )
            _require_answer(source)
        except Exception as error:  # noqa: BLE001  # any class may fail in any way
            return [_result(architecture, case, "unbuildable", _words(error)) for case in cases]
        results += [
            run_case(architecture, case, source, work)
            for case in cases
            if (case.what == "sharded") == sharded
        ]
        shutil.rmtree(source)
    return results


def _require_answer(source: Path) -> None:
    from tests.support.architecture_judge import Loaded  # noqa: PLC0415

    if not Loaded(source).answer().isfinite().all():
        raise ValueError("the tiny model's own answer isn't finite")


def run_case(architecture: str, case: Case, source: Path, work: Path) -> Result:
    """Expand and judge; what the load check finds is what a run would have ended with."""
    from distexpand.errors import DistexpandError  # noqa: PLC0415

    output = work / "output"
    shutil.rmtree(output, ignore_errors=True)
    found = ""
    try:
        if case.what == "mergekit":
            expand_with_mergekit(case, source, output)
        else:
            found = _expand(case, source, output)
    except (DistexpandError, MergekitError) as error:
        return _result(architecture, case, "refused", str(error))
    except Exception as error:  # noqa: BLE001  # a bug is a result
        return _result(architecture, case, "wrong", _words(error))
    problem = _judged(case, source, output)
    if problem and found:
        return _result(architecture, case, "refused", f"by the load check: {found}")
    if found:
        return _result(architecture, case, "wrong", f"the load check refuses what is right: {found}")
    return _result(architecture, case, "wrong" if problem else "pass", problem)


def _judged(case: Case, source: Path, output: Path) -> str:
    from tests.support.architecture_judge import WrongError, judge  # noqa: PLC0415

    try:
        judge(source, output, case.layer_map, num_layers=LAYERS, new=case.new)
    except WrongError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  # a failure to load or run is a result
        return _words(error)
    return ""


def _expand(case: Case, source: Path, output: Path) -> str:
    """Plan, prove and run; return what the load check found."""
    from distexpand.api import plan_expansion, run_plan  # noqa: PLC0415
    from distexpand.proof import child  # noqa: PLC0415
    from distexpand.proof.check import question_of  # noqa: PLC0415

    planned = plan_expansion(
        case.recipe, origin="recipe", places={"m": str(source)}, shard_size=case.shard_size
    )
    with tempfile.TemporaryDirectory() as skeletons:
        proof = child.prove(question_of(planned.plan, Path(skeletons), trust_remote_code=False))
    run_plan(planned.plan, output)
    return proof.problem


class MergekitError(Exception):
    """Mergekit ended with an error, which is better than a wrong output."""


@functools.cache
def _mergekit() -> subprocess.Popen[str]:
    command = [os.environ["MERGEKIT_PYTHON"], str(Path(__file__).with_name("mergekit_server.py"))]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def expand_with_mergekit(case: Case, source: Path, output: Path) -> None:
    """Do a case's stacking with mergekit.

    Raises:
        MergekitError: it said that it can't.
    """
    spans = yaml.safe_load(case.recipe)["layer_map"]
    slices = [{"sources": [{"model": str(source), "layer_range": span}]} for span in spans]
    config = {"slices": slices, "merge_method": "passthrough"}
    process = _mergekit()
    if process.stdin is None or process.stdout is None:
        raise MergekitError("no process")
    process.stdin.write(json.dumps({"config": config, "output": str(output)}) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        _mergekit.cache_clear()
        raise MergekitError("its process ended")
    problem = json.loads(line)["problem"]
    if problem:
        raise MergekitError(problem)


def _result(architecture: str, case: Case, status: Status, reason: str) -> Result:
    return Result(architecture=architecture, what=case.what, recipe=case.recipe, status=status, reason=reason)


def _words(error: BaseException) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text} ({Path(place.filename).name}:{place.lineno})"


def main() -> None:
    """Serve as a worker: a line of JSON per architecture of the arguments, begun and ended."""
    import logging  # noqa: PLC0415

    import transformers  # noqa: PLC0415

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    transformers.logging.set_verbosity_error()
    whats, work, *architectures = sys.argv[1:]
    for architecture in architectures:
        print(json.dumps({"begun": architecture}), flush=True)
        results = run_architecture(architecture, whats.split(","), Path(work))
        print(json.dumps({"results": [asdict(result) for result in results]}), flush=True)


if __name__ == "__main__":
    main()
