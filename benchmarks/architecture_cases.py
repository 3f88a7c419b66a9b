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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import yaml

from tests.support.architectures import Auto

What = Literal["stack", "orders", "identity", "sharded", "inside", "mergekit"]
Status = Literal["pass", "refused", "wrong", "unbuildable", "crashed"]

LAYERS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A recipe, the source layers that it asks for in order, and which output layers are identity blocks."""

    recipe: str
    layer_map: tuple[int, ...]
    new: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An expansion that every architecture goes through.

    Of several orders the first counts that isn't refused: a rule in the config may leave no words for
    the first one, and a refusal names others.
    """

    what: What
    orders: tuple[Order, ...]
    shard_size: int = 10**9


def _ranges(*ranges: tuple[int, int]) -> Order:
    text = ", ".join(f"[{start}, {stop}]" for start, stop in ranges)
    layers = tuple(layer for start, stop in ranges for layer in range(start, stop))
    return Order(recipe=f"{{model: m, layer_map: [{text}]}}", layer_map=layers)


def _block_of(layer: int) -> Order:
    """Return the whole model with an identity block of a layer behind it."""
    whole = f"{{sources: [{{model: m, layer_range: [0, {LAYERS}]}}]}}"
    block = f"{{sources: [{{model: m, layer_range: [{layer}, {layer + 1}], identity: true}}]}}"
    recipe = f"{{slices: [{whole}, {block}], merge_method: passthrough}}"
    return Order(recipe=recipe, layer_map=(*range(LAYERS), layer), new=(LAYERS,))


_STACK = _ranges((0, 4), (2, 6))
_ODD = _ranges((0, 2), (1, 2), (3, 6), (2, 5))
_REPEATED = (_STACK, _ranges((0, 6), (0, 6)), _ranges((0, 1), (0, 6)), _ranges((0, 6), (5, 6)))
_BLOCK = Order(
    recipe="{model: m, block_expansion: {blocks: 1, where: end}}", layer_map=(*range(6), 5), new=(6,)
)
_BEFORE_LAST = Order(
    recipe="{model: m, block_expansion: {after: [4]}}", layer_map=(0, 1, 2, 3, 4, 4, 5), new=(5,)
)
_BLOCKS = (_BLOCK, *map(_block_of, reversed(range(LAYERS - 1))), _BEFORE_LAST)
_INSIDE = Order(
    recipe="{model: m, block_expansion: {after: [1, 3]}}", layer_map=(0, 1, 1, 2, 3, 3, 4, 5), new=(2, 5)
)

CASES = (
    Case(what="stack", orders=_REPEATED),
    Case(what="orders", orders=(_STACK,)),
    Case(what="orders", orders=(_ODD,)),
    Case(what="orders", orders=(_ranges((0, 5), (3, 6)),)),
    Case(what="mergekit", orders=(_STACK,)),
    Case(what="mergekit", orders=(_ODD,)),
    Case(what="identity", orders=_BLOCKS),
    Case(what="inside", orders=(_INSIDE,)),
    Case(what="sharded", orders=_REPEATED, shard_size=30_000),
    Case(what="sharded", orders=_BLOCKS, shard_size=30_000),
)


STACKS = {"blt": "model.global_transformer"}
"""The stack of those that have several of one rank, which a recipe has to name."""


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
            return [
                _result(architecture, case, case.orders[0], "unbuildable", _words(error)) for case in cases
            ]
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
    """Return how the first order ended that wasn't refused, else the refusal of the first of all."""
    results: list[Result] = []
    for order in case.orders:
        results.append(_run_order(architecture, case, order, source, work))
        if results[-1].status != "refused":
            return results[-1]
    return results[0]


def _run_order(architecture: str, case: Case, order: Order, source: Path, work: Path) -> Result:
    """Expand and judge; what the load check finds is what a run would have ended with."""
    from distexpand.errors import DistexpandError  # noqa: PLC0415

    output = work / "output"
    shutil.rmtree(output, ignore_errors=True)
    found = ""
    try:
        if case.what == "mergekit":
            expand_with_mergekit(order, source, output)
        else:
            found = _expand(case, _named(order, architecture), source, output)
    except (DistexpandError, MergekitError) as error:
        return _result(architecture, case, order, "refused", str(error))
    except Exception as error:  # noqa: BLE001  # a bug is a result
        return _result(architecture, case, order, "wrong", _words(error))
    problem = _judged(order, source, output)
    if problem and found:
        return _result(architecture, case, order, "refused", f"by the load check: {found}")
    if found:
        return _result(architecture, case, order, "wrong", f"the load check refuses what is right: {found}")
    return _result(architecture, case, order, "wrong" if problem else "pass", problem)


def _named(order: Order, architecture: str) -> Order:
    """Return the order with the stack named, where there are several."""
    stack = STACKS.get(architecture)
    return replace(order, recipe=order.recipe.replace("{", f"{{stack: {stack}, ", 1)) if stack else order


def _judged(order: Order, source: Path, output: Path) -> str:
    from tests.support.architecture_judge import WrongError, judge  # noqa: PLC0415

    try:
        judge(source, output, order.layer_map, num_layers=LAYERS, new=order.new)
    except WrongError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  # a failure to load or run is a result
        return _words(error)
    return ""


def _expand(case: Case, order: Order, source: Path, output: Path) -> str:
    """Plan, prove and run; return what the load check found."""
    from distexpand.api import plan_expansion, run_plan  # noqa: PLC0415
    from distexpand.proof import child  # noqa: PLC0415
    from distexpand.proof.check import question_of  # noqa: PLC0415

    planned = plan_expansion(
        order.recipe, origin="recipe", places={"m": str(source)}, shard_size=case.shard_size
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


def expand_with_mergekit(order: Order, source: Path, output: Path) -> None:
    """Do a stacking with mergekit.

    Raises:
        MergekitError: it said that it can't.
    """
    spans = yaml.safe_load(order.recipe)["layer_map"]
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


def _result(architecture: str, case: Case, order: Order, status: Status, reason: str) -> Result:
    return Result(
        architecture=architecture, what=case.what, recipe=order.recipe, status=status, reason=reason
    )


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
