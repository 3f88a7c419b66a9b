"""Judges what a node found when it looked around: the first thing wrong with it, in words to act on."""

from dataclasses import dataclass
from pathlib import Path

from distexpand.cluster.node_check import NodeView, Versions
from distexpand.cluster.nodes import Node
from distexpand.cluster.task import OrderedSource
from distexpand.errors import DistexpandError, StorageError, UsageError


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


def problem_of(
    view: NodeView, node: Node, wanted: Expected, *, marker: str, returned: str
) -> DistexpandError | None:
    """Return what is wrong with a node, or nothing.

    Args:
        view: what it found.
        node: which one it is.
        wanted: what it was to find.
        marker: what the driver wrote for it to read.
        returned: what the driver read of the node's answer in the output.
    """
    return (
        _output_problem(view, node, wanted, marker=marker, returned=returned)
        or _version_problem(view, node, wanted)
        or _source_problem(view, node, wanted)
        or _space_problem(view, node, wanted)
    )


def suspects(view: NodeView, wanted: Expected) -> tuple[OrderedSource, ...]:
    """Return the sources whose state differs from the driver's: the node may have a copy of its own."""
    pairs = zip(wanted.sources, view.sources, wanted.versions_of_sources, strict=True)
    return tuple(source for source, seen, here in pairs if seen.version != here)


def other_content(source: OrderedSource, node: Node) -> DistexpandError:
    """Return the error for a file that holds something else on the node than here."""
    return StorageError(
        f"node {node.name}: {source.location}/{source.path} holds other weights than the driver's",
        hint="Copy the model anew to that node, or mount the same directory everywhere.",
    )


def _output_problem(
    view: NodeView, node: Node, wanted: Expected, *, marker: str, returned: str
) -> DistexpandError | None:
    if view.marker == marker and view.write_problem:
        return StorageError(
            f"node {node.name} sees the output {wanted.output} but can't write there: {view.write_problem}",
            hint="Every node has to have it mounted for writing, with the rights and room of the driver.",
        )
    if view.marker == marker == returned:
        return None
    problem = view.read_problem or (
        "it holds another marker" if view.marker != marker else "the driver doesn't see what the node writes"
    )
    return UsageError(
        f"node {node.name} doesn't see the output {wanted.output} that the driver sees: {problem}",
        hint="The output has to be a directory that every node and the driver have mounted, "
        "such as one of a network file system; a path that each machine has for itself won't do.",
    )


def _version_problem(view: NodeView, node: Node, wanted: Expected) -> DistexpandError | None:
    mine, theirs = wanted.versions, view.versions
    pairs = [
        ("Ray", mine.ray, theirs.ray),
        ("Python", _minor(mine.python), _minor(theirs.python)),
        ("distexpand", mine.package[:12], theirs.package[:12]),
    ]
    if wanted.transforms:
        pairs += [("torch", _release(mine.libraries), _release(theirs.libraries))]
    for name, here, there in pairs:
        if here != there:
            return UsageError(
                f"node {node.name} runs {name} {there}, the driver {here}",
                hint="Every node has to run the same versions; `submit` sends this package along.",
            )
    if wanted.transforms and "torch" not in dict(theirs.libraries):
        return UsageError(
            f"node {node.name} has no torch, which this recipe's scales, casts or blends need",
            hint="Install it on every node, or let `submit --pip torch` do it for the job.",
        )
    return None


def _release(libraries: tuple[tuple[str, str], ...]) -> str:
    """Return torch's version without its build: that for a GPU computes the same on a processor."""
    return dict(libraries).get("torch", "none").partition("+")[0]


def _minor(version: str) -> str:
    return version.rpartition(".")[0]


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
