"""`distexpand run` without a cluster: watched, counted, interruptible."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from distexpand.api import run_plan
from distexpand.cli.interruption import saying_how_to_resume, stopping_on_signals
from distexpand.cli.watching import Counted
from distexpand.cluster.events import Noted
from distexpand.commit.committer import OutputMode
from distexpand.planning.codec.plans import plan_digest
from distexpand.planning.model import Plan
from distexpand.report.watching.display import progress_display
from distexpand.report.watching.events import EventProgress, EventWriter
from distexpand.runner.place import Output

if TYPE_CHECKING:
    from distexpand.runner.progress import ProgressSink


def run_here(
    plan: Plan,
    output: Output,
    *,
    mode: OutputMode,
    threads: int,
    clone: bool,
    quiet: bool,
    events: EventWriter | None,
    tell: Callable[[str], None],
    resume: str,
) -> Counted:
    """Run a plan in this process and return what was done.

    Args:
        plan: to execute.
        output: where to.
        mode: what may be there.
        threads: blocks that are worked on at once.
        clone: whether blocks may be shared.
        quiet: whether there is no display.
        events: gets the run's events, if anyone wants them.
        tell: takes in words how the bytes move.
        resume: how to go on after an interrupt.

    Raises:
        DistexpandError: what went wrong; finished shards stay for a resume.
    """
    display = progress_display(quiet=quiet)
    sinks: list[ProgressSink] = [display]
    noted = [display.note]
    if events is not None:
        sizes = {shard.name: shard.size for shard in plan.shards}
        sinks.append(EventProgress(events, output=str(output), plan=plan_digest(plan), sizes=sizes))
        noted.append(lambda text: events.show(Noted(message=text)))
    counted = Counted(*sinks)

    def note(text: str) -> None:
        for told in noted:
            told(text)

    with saying_how_to_resume(resume), stopping_on_signals(note, how_to_go_on=resume) as stop:
        run_plan(
            plan, output, mode=mode, threads=threads, stop=stop, progress=counted, clone=clone, tell=tell
        )
    return counted
