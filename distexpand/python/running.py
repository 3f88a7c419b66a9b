"""`distexpand.run`: do it here, in flat memory, resumable."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from distexpand.api import PlannedExpansion, run_plan, verify_output
from distexpand.commit.committer import OutputMode
from distexpand.commit.occupied import require_place
from distexpand.errors import UsageError
from distexpand.intake.recipe_text import RecipeLike
from distexpand.python.arguments import LayoutName, Place, output_of, require_event, thread_count
from distexpand.python.interruption import interruptible
from distexpand.python.load_check import checked_load, wanted
from distexpand.python.planning import plan, refuse_settled
from distexpand.python.progress import ProgressLike, sink_of
from distexpand.runner.local import DEFAULT_THREADS
from distexpand.runner.place import Output
from distexpand.verifying.report import VerifyReport, require_ok


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A finished output.

    `output` is its path, or its address as text; `shards` are the files of weights in it. `made` is
    false where it was finished already; `bytes` are those of all shards, `seconds` what this run took.
    `verified` is what `verify=True` found. `plan` is what was run.
    """

    output: Path | str
    shards: tuple[str, ...]
    made: bool
    bytes: int
    seconds: float
    verified: VerifyReport | None
    plan: PlannedExpansion

    @property
    def paths(self) -> tuple[Path | str, ...]:
        """Where each file of weights lies."""
        if isinstance(self.output, Path):
            return tuple(self.output / name for name in self.shards)
        return tuple(f"{self.output}/{name}" for name in self.shards)


def run(
    recipe: RecipeLike | PlannedExpansion,
    output: Place,
    *,
    models: Mapping[str, Place] | None = None,
    model: Place | None = None,
    shard_size: int | str | None = None,
    layout: LayoutName | None = None,
    resume: bool = False,
    overwrite: bool = False,
    threads: int = DEFAULT_THREADS,
    clone: bool = True,
    check_load: bool | None = None,
    trust_remote_code: bool = False,
    verify: bool = False,
    progress: ProgressLike = None,
    stop: threading.Event | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> RunResult:
    """Make an output from a recipe or a plan.

    Args:
        recipe: what `plan` takes, or what it gave.
        output: a directory, a bucket's folder (`s3://`, `gs://`, `az://`) or a repository of the Hub (`hf://`).
        models: as for `plan`; not with a plan, which has it settled.
        model: likewise.
        shard_size: likewise.
        layout: likewise.
        resume: go on with an interrupted run of the same plan.
        overwrite: replace what an earlier run wrote to the output, and nothing else.
        threads: blocks that are worked on at once.
        clone: share blocks with the sources where the file system can.
        check_load: prove first that the output will load in transformers; where nothing is said, if it is
            installed and the output isn't begun already.
        trust_remote_code: whether code that came with a model may run for that.
        verify: read the output again when it is done, and compare every digest.
        progress: a function that is called with a `Progress`, ten times a second at most, by one thread at a
            time; a display with a sink's methods; or `True` for the command line's display.
        stop: set it, from any thread, to end between two blocks.
        tell: takes in words how the bytes move.

    Raises:
        DistexpandError: what went wrong; finished shards stay for a resume.
        InterruptedRunError: `stop` was set.
        KeyboardInterrupt: the run was interrupted, and ended as cleanly.
    """
    mode, threads, sink = _mode(resume=resume, overwrite=overwrite), thread_count(threads), sink_of(progress)
    require_event(stop)
    settled = {"models": models, "model": model, "shard_size": shard_size, "layout": layout}
    if isinstance(recipe, PlannedExpansion):
        refuse_settled(settled)
        planned = recipe
    else:
        planned = plan(recipe, models=models, model=model, shard_size=shard_size, layout=layout)
    place = output_of(output)
    if wanted(check_load, resume=resume, output=place):
        if not resume:
            require_place(place, planned.plan, overwrite=overwrite)
        planned, _ = checked_load(planned, trust_remote_code=trust_remote_code)
    started = time.monotonic()
    with interruptible(stop) as stopping:
        made = run_plan(
            planned.plan,
            place,
            mode=mode,
            threads=threads,
            stop=stopping,
            progress=sink,
            clone=clone,
            tell=tell,
        )
    seconds = time.monotonic() - started
    return RunResult(
        output=place if isinstance(place, Path) else str(place),
        shards=tuple(shard.name for shard in planned.plan.shards),
        made=made,
        bytes=sum(shard.size for shard in planned.plan.shards),
        seconds=seconds,
        verified=_verified(place, threads, progress) if verify else None,
        plan=planned,
    )


def _mode(*, resume: bool, overwrite: bool) -> OutputMode:
    if resume and overwrite:
        raise UsageError(
            "resume and overwrite exclude each other",
            hint="resume keeps what an interrupted run of the same plan made, overwrite begins anew.",
        )
    return OutputMode.RESUME if resume else OutputMode.OVERWRITE if overwrite else OutputMode.FRESH


def _verified(output: Output, threads: int, progress: ProgressLike) -> VerifyReport:
    report = verify_output(output, threads=threads, progress=sink_of(progress, stage="verify"))
    require_ok(report, output)
    return report
