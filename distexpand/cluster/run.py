"""A run on a cluster from its first look to the manifest: preflight, lease, shards, publishing."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import ray

from distexpand.cluster.counters import counting
from distexpand.cluster.demand import first_nodes
from distexpand.cluster.driver import drive
from distexpand.cluster.events import EventSink, Noted
from distexpand.cluster.fleet import Fleet
from distexpand.cluster.flights import ordered_sources
from distexpand.cluster.nodes import Node, require_feasible, too_small, usable_nodes
from distexpand.cluster.options import ClusterOptions
from distexpand.cluster.preflight import check_nodes, expected, require_nodes
from distexpand.cluster.verdict import Expected
from distexpand.commit.committer import Committer, OutputMode
from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.commit.work_directory import current
from distexpand.engine.space import disk_bytes, small_file_bytes
from distexpand.engine.transforms import needs_torch
from distexpand.errors import DistexpandError, InterruptedRunError, OutputError
from distexpand.planning.model import Plan
from distexpand.runner.sources import read_side_files, source_stamps
from distexpand.storage.ranges import RangeReader

Found = TypeVar("Found")
RoomCheck = Callable[[Committer, Sequence[RangeReader], Path], None]


def run_on_cluster(
    plan: Plan,
    output: Path,
    readers: Sequence[RangeReader],
    *,
    mode: OutputMode,
    options: ClusterOptions,
    stop: threading.Event,
    events: EventSink,
    check_room: RoomCheck,
) -> bool:
    """Check the nodes, execute the plan's shards on them, publish; say whether there was anything to do.

    Args:
        plan: checked.
        output: every node's view of it is checked.
        readers: the plan's sources, opened and checked here.
        mode: what may be in the output.
        options: limits of the run.
        stop: set it to end.
        events: told what happens.
        check_room: refuses an output that the disk hasn't room for.

    Raises:
        DistexpandError: what went wrong; finished shards stay for a resume.
    """
    events = counting(events, run=options.run)
    check = partial(
        checked_fleet, plan, output, readers, mode=mode, options=options, stop=stop, events=events
    )
    fleet = None if _looks_finished(output, mode) else check()

    def tell(message: str) -> None:
        events(Noted(message=message))

    with Committer(output, plan, mode, run=options.run, wait=options.wait_for_output, told=tell) as committer:
        if committer.finished:
            return False
        committer.hold_sources(source_stamps(plan, readers))
        check_room(committer, readers, output)
        fleet = fleet or check()
        with _cluster_needed():
            drive(committer, fleet, options=options, stop=stop, events=events)
        # Each attempt looks at its own reading only; no source may have changed between two of them.
        for reader in readers:
            reader.check_unchanged()
        committer.publish(read_side_files(plan, readers))
    return True


@contextmanager
def _cluster_needed() -> Iterator[None]:
    """Map what Ray says when it is gone to an error of ours."""
    try:
        yield
    except ray.exceptions.RayError as error:
        said = str(error).strip() or type(error).__name__
        raise OutputError(
            f"lost the cluster: {said.splitlines()[0]}",
            hint="Finished shards are kept; when the cluster is back, go on with --resume.",
        ) from None


@_cluster_needed()
def checked_fleet(
    plan: Plan,
    output: Path,
    readers: Sequence[RangeReader],
    *,
    mode: OutputMode,
    options: ClusterOptions,
    stop: threading.Event,
    events: EventSink,
) -> Fleet:
    """Return the cluster's nodes, each of which was looked at and found fit.

    Raises:
        UsageError: the cluster can't do this work as it is called; says which node and why.
        StorageError: a node lacks a source, space, or an answer.
        OutputError: the cluster is gone.
        InterruptedRunError: `stop` was set.
    """
    transforms = needs_torch(plan)
    nodes = first_nodes(options, lambda message: events(Noted(message=message)), stop)
    if stop.is_set():
        raise InterruptedRunError("interrupted", hint="Nothing was begun.")
    require_feasible(nodes, options, transforms=transforms)
    wanted = _expected(plan, output, readers, mode=mode, transforms=transforms)
    wrong = check_nodes(nodes, wanted)
    # A node that died while it was asked is no reason not to begin.
    nodes = _still_there(nodes, usable_nodes(options))
    require_feasible(nodes, options, transforms=transforms)
    require_nodes(nodes, _still_there(wrong, nodes))
    count = "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"
    events(Noted(message=f"{count} checked: output, sources, versions, space"))
    return Fleet(
        nodes,
        partial(usable_nodes, options),
        partial(check_joined, wanted=wanted, options=options, transforms=transforms),
    )


def check_joined(
    nodes: Mapping[str, Node], *, wanted: Expected, options: ClusterOptions, transforms: bool
) -> dict[str, DistexpandError]:
    """Return what is wrong with nodes that came later, by node id; they are looked at as the first ones."""
    small = {key: too_small(node, options, transforms=transforms) for key, node in nodes.items()}
    wrong: dict[str, DistexpandError] = {key: error for key, error in small.items() if error is not None}
    large = {key: node for key, node in nodes.items() if key not in wrong}
    return wrong | (check_nodes(large, wanted) if large else {})


def _still_there(found: Mapping[str, Found], alive: Mapping[str, Node]) -> dict[str, Found]:
    return {key: value for key, value in found.items() if key in alive}


def _expected(
    plan: Plan, output: Path, readers: Sequence[RangeReader], *, mode: OutputMode, transforms: bool
) -> Expected:
    needed = disk_bytes(plan.shards, readers) + small_file_bytes(plan) if mode is OutputMode.FRESH else 0
    stamps = {(stamp.model, stamp.path): stamp.version for stamp in source_stamps(plan, readers)}
    sources = tuple(s for s in ordered_sources(plan) if (s.model, s.path) in stamps)
    return expected(
        output,
        sources,
        [stamps[source.model, source.path] for source in sources],
        transforms=transforms,
        needed=needed,
    )


def _looks_finished(output: Path, mode: OutputMode) -> bool:
    """Whether a resume will probably find nothing to do, so that no node need be asked."""
    return mode is OutputMode.RESUME and (output / MANIFEST_NAME).exists() and not current(output).exists()
