"""Preflight: every node is asked to look at output, sources and versions before any shard is begun.

The classic mistake is a path that each node has for itself: everything seems
to work and every node keeps its own part of the model. So the driver writes a
marker where the output will be, each node reads it and leaves one of its own,
and the driver looks for those. The folder of the markers goes again.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from distexpand.cluster.node_check import (
    MARKER_NAME,
    NodeView,
    Versions,
    look_around,
    own_versions,
    sample_sources,
)
from distexpand.cluster.nodes import Node
from distexpand.cluster.task import OrderedSource
from distexpand.commit.files import make_directory
from distexpand.commit.work_directory import PREFLIGHT_PREFIX
from distexpand.errors import DistexpandError, StorageError, UsageError
from distexpand.storage.local import WORK_DIRECTORY, storage_error

ANSWER_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What every node has to find: the driver's own view.

    `versions_of_sources` are the states of the source files here, `needed` the bytes that the
    output still takes, or 0 where that was checked before.
    """

    output: Path
    sources: tuple[OrderedSource, ...]
    versions_of_sources: tuple[str, ...]
    versions: Versions
    transforms: bool
    needed: int


def expected(
    output: Path,
    sources: tuple[OrderedSource, ...],
    versions_of_sources: Sequence[str],
    *,
    transforms: bool,
    needed: int,
) -> Expected:
    """Return what every node has to find, with this process's own versions."""
    return Expected(
        output=output,
        sources=sources,
        versions_of_sources=tuple(versions_of_sources),
        versions=own_versions(),
        transforms=transforms,
        needed=needed,
    )


def check_nodes(nodes: Mapping[str, Node], wanted: Expected) -> dict[str, DistexpandError]:
    """Ask every node to look around at once, and return what is wrong with which, by node id.

    Raises:
        StorageError: the marker can't be written here.
    """
    with _markers(wanted.output) as (folder, text):
        asked = {node_id: _ask(node_id, folder, wanted) for node_id in nodes}
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_SECONDS)
        wrong: dict[str, DistexpandError] = {}
        for node_id, reference in asked.items():
            error = _judge(reference, nodes[node_id], folder, text, wanted)
            if error is not None:
                wrong[node_id] = error
        return wrong


def require_nodes(nodes: Mapping[str, Node], wrong: Mapping[str, DistexpandError]) -> None:
    """Refuse to begin while any node has something wrong.

    Raises:
        UsageError: a node can't ever do the work as it is called.
        StorageError: a node lacks something.
    """
    if not wrong:
        return
    first = min(wrong.values(), key=lambda error: not isinstance(error, UsageError))
    more = "" if len(wrong) == 1 else f" ({len(wrong)} of {len(nodes)} nodes have such a problem)"
    raise type(first)(f"{first.message}{more}", hint=first.hint)


@contextmanager
def _markers(output: Path) -> Iterator[tuple[Path, str]]:
    """Make a folder with the driver's marker inside the output; remove it, and what was made for it."""
    made = [path for path in (output, *output.parents) if not path.exists()]
    text = secrets.token_hex(16)
    folder = output / WORK_DIRECTORY / f"{PREFLIGHT_PREFIX}{text[:8]}"
    make_directory(folder)
    try:
        try:
            (folder / MARKER_NAME).write_text(text, encoding="ascii")
        except OSError as error:
            raise storage_error("write", folder / MARKER_NAME, error) from None
        yield folder, text
    finally:
        _clear(folder, made)


def _clear(folder: Path, made: list[Path]) -> None:
    with suppress(OSError):
        for path in folder.iterdir():
            path.unlink()
    for path in (folder, folder.parent, *made):
        with suppress(OSError):
            path.rmdir()


def _ask(node_id: str, folder: Path, wanted: Expected) -> Any:
    return _on(node_id, look_around).remote(str(folder), node_id, wanted.sources)


def _on(node_id: str, function: Any) -> Any:
    remote = ray.remote(num_cpus=0, max_retries=1)(function)
    return remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False))


def _judge(reference: Any, node: Node, folder: Path, text: str, wanted: Expected) -> DistexpandError | None:
    try:
        view: NodeView = ray.get(reference, timeout=0)
    except ray.exceptions.GetTimeoutError:
        return StorageError(
            f"node {node.name} didn't answer within {ANSWER_SECONDS:.0f} s",
            hint="Is it overloaded, or does its mount of a source or the output hang?",
        )
    except ray.exceptions.RayError as error:
        return StorageError(f"node {node.name} can't run our code: {_reason(error)}")
    return (
        _output_problem(view, node, folder, text, wanted)
        or _version_problem(view, node, wanted)
        or _source_problem(view, node, wanted)
        or _space_problem(view, node, wanted)
        or _other_content(view, node, wanted)
    )


def _output_problem(
    view: NodeView, node: Node, folder: Path, text: str, wanted: Expected
) -> DistexpandError | None:
    returned = folder / node.node_id
    with suppress(OSError):
        if view.marker == text and returned.read_text(encoding="ascii") == text:
            return None
    problem = view.marker_problem or (
        "it holds another marker" if view.marker != text else "the driver doesn't see what the node writes"
    )
    return UsageError(
        f"node {node.name} doesn't see the output {wanted.output} that the driver sees: {problem}",
        hint="The output has to be a directory that every node and the driver have mounted, "
        "such as one of a network file system; a path that each machine has for itself won't do.",
    )


def _version_problem(view: NodeView, node: Node, wanted: Expected) -> DistexpandError | None:
    mine, theirs = wanted.versions, view.versions
    pairs = [
        ("distexpand", mine.package[:12], theirs.package[:12]),
        ("Ray", mine.ray, theirs.ray),
        ("Python", mine.python.rpartition(".")[0], theirs.python.rpartition(".")[0]),
    ]
    libraries = dict(theirs.libraries)
    if wanted.transforms:
        pairs += [("torch", dict(mine.libraries).get("torch", "none"), libraries.get("torch", "none"))]
    for name, here, there in pairs:
        if here != there:
            return UsageError(
                f"node {node.name} runs {name} {there}, the driver {here}",
                hint="Every node has to run the same versions; `submit` sends this package along.",
            )
    return None


def _source_problem(view: NodeView, node: Node, wanted: Expected) -> DistexpandError | None:
    problems = [
        (source, seen.problem)
        for source, seen in zip(wanted.sources, view.sources, strict=True)
        if seen.problem
    ]
    if not problems:
        return None
    source, problem = problems[0]
    return StorageError(
        f"node {node.name}, model {source.model}: {problem} "
        f"({len(problems)} of {len(wanted.sources)} source files)",
        hint="Every node has to see every source under the path that the driver sees it under.",
    )


def _space_problem(view: NodeView, node: Node, wanted: Expected) -> DistexpandError | None:
    if view.free is None or view.free >= wanted.needed:
        return None
    return StorageError(
        f"node {node.name}: the output needs {wanted.needed:,} bytes, {view.free:,} are free there",
        hint="Free some space or choose another output; nothing was begun.",
    )


def _other_content(view: NodeView, node: Node, wanted: Expected) -> DistexpandError | None:
    """Compare samples of the files whose state differs: each node may have its own copy of a model."""
    pairs = zip(wanted.sources, view.sources, wanted.versions_of_sources, strict=True)
    differing = tuple(source for source, seen, here in pairs if seen.version != here)
    if not differing:
        return None
    try:
        there = ray.get(_on(node.node_id, sample_sources).remote(differing), timeout=ANSWER_SECONDS)
    except ray.exceptions.RayError as error:
        return StorageError(f"node {node.name} can't read its sources: {_reason(error)}")
    for source, mine, theirs in zip(differing, sample_sources(differing), there, strict=True):
        if mine != theirs:
            return StorageError(
                f"node {node.name}: {source.location}/{source.path} holds other weights than the driver's",
                hint="Copy the model anew to that node, or mount the same directory everywhere.",
            )
    return None


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
