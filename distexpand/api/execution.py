"""Execute a plan, here or on the Ray cluster that this process drives."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from distexpand.commit.committer import OutputMode
from distexpand.commit.occupied import refuse_output_in_source
from distexpand.engine.torch_library import require_torch
from distexpand.engine.transforms import needs_torch
from distexpand.pauses import pausing
from distexpand.planning.check import check_plan
from distexpand.planning.model import Plan
from distexpand.report.watching.display import NoProgress
from distexpand.runner.local import DEFAULT_THREADS, run_local
from distexpand.runner.outputs import open_output
from distexpand.runner.place import Output
from distexpand.runner.progress import ProgressSink
from distexpand.runner.room import check_room, check_room_left
from distexpand.runner.sources import check_sources, open_sources, read_side_files, source_stamps

if TYPE_CHECKING:
    from distexpand.cluster.events import EventSink
    from distexpand.cluster.options import ClusterOptions


def run_plan(
    plan: Plan,
    output: Output,
    *,
    mode: OutputMode = OutputMode.FRESH,
    threads: int = DEFAULT_THREADS,
    stop: threading.Event | None = None,
    progress: ProgressSink | None = None,
    clone: bool = True,
    tell: Callable[[str], None] = lambda _: None,
) -> bool:
    """Execute a plan here and finish the output.

    Args:
        plan: from `plan_expansion` or read from a file.
        output: the directory to write; see `mode` for what may be in it.
        mode: fresh, resume, or overwrite.
        threads: blocks that are worked on at once.
        stop: set it to end between two blocks; the run can then be resumed.
        progress: told of bytes and shards as they are done.
        clone: whether the output may share blocks with its sources, where the file system can.
        tell: takes in words how the bytes move.

    Returns:
        Whether there was anything to do; not if the output was finished.

    Raises:
        DistexpandError: what went wrong; finished shards stay for a resume.
    """
    refuse_output_in_source(output, plan)
    check_plan(plan)
    if needs_torch(plan):
        require_torch()
    stop, progress = stop or threading.Event(), progress or NoProgress()
    with pausing(stop=stop, told=progress.retried), open_sources(plan) as readers:
        check_sources(plan, readers)
        with open_output(plan, output, readers, mode=mode, clone=clone, tell=tell) as opened:
            if opened.outlet.finished:
                return False
            opened.outlet.hold_sources(source_stamps(plan, readers))
            opened.check_room()
            run_local(
                opened.outlet,
                readers,
                output=opened.store,
                together=opened.together,
                threads=threads,
                stop=stop,
                progress=progress,
            )
            opened.outlet.publish(read_side_files(plan, readers))
            return True


def run_plan_on_cluster(
    plan: Plan,
    output: Path,
    *,
    options: "ClusterOptions",
    mode: OutputMode = OutputMode.FRESH,
    stop: threading.Event | None = None,
    events: "EventSink",
) -> bool:
    """Execute a plan on the Ray cluster that this process is a driver of, and finish the output.

    The bytes are those of `run_plan`. Every node is checked before the output is begun.

    Args:
        plan: from `plan_expansion` or read from a file.
        output: the directory to write, the same one for every node; see `mode` for what may be in it.
        options: limits of the run.
        mode: fresh, resume, or overwrite.
        stop: set it to end; the run can then be resumed.
        events: told what happens, beside the end.

    Returns:
        Whether there was anything to do; not if the output was finished.

    Raises:
        DistexpandError: what went wrong; finished shards stay for a resume.
    """
    from distexpand.cluster.run import run_on_cluster  # noqa: PLC0415  # brings Ray

    refuse_output_in_source(output, plan)
    check_plan(plan)
    with open_sources(plan) as readers:
        check_sources(plan, readers)
        check_room(plan, readers, output, mode)
        return run_on_cluster(
            plan,
            output,
            readers,
            mode=mode,
            options=options,
            stop=stop or threading.Event(),
            events=events,
            check_room=check_room_left,
        )
