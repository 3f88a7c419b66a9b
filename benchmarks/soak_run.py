"""One run of the soak: submitted, hit by a fault, submitted again until the output is whole, and judged."""

import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import measure
from benchmarks.checkpoints import file_digests
from benchmarks.faults import KINDS, Fault, has_begun
from benchmarks.final_names import FinalNames
from benchmarks.soak_cluster import SoakCluster
from distexpand.cluster.events import AttemptDoubled, AttemptLost, RunEnded, decode_event
from distexpand.cluster.options import DEFAULT_TRIES
from distexpand.jobs.request import JOB_VARIABLE, REQUEST_VARIABLE, encode_request, make_request

BOUND_SECONDS = 240.0
"""From the first submission to the whole output, with everything that is started again meanwhile."""

_EARLIEST = 1.0
_BEGUN_FIRST = {"disk"}
"""Kinds that a driver refuses, rightly, when it meets them before it has begun."""


@dataclass(kw_only=True)
class Run:
    """What was done and what came of it; seconds from the first submission."""

    number: int
    kind: str
    moment: float
    fault: str = ""
    hit: float | None = None
    seconds: float = 0.0
    submissions: int = 0
    lost: int = 0
    doubled: int = 0
    most_tries: int = 0
    cleaned: int = 0
    reasons: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What every run makes."""

    recipe: str
    places: Mapping[str, str]
    shard_size: int
    reference: Path
    digests: Mapping[str, str]
    directory: Path


def one_run(cluster: SoakCluster, work: Work, run: Run, choose: random.Random) -> Run:
    """Make the output once in spite of one fault, judge it, and remove it."""
    output, log = cluster.disk / f"out-{run.number}", work.directory / f"run-{run.number}.log"
    log.unlink(missing_ok=True)
    log.with_suffix(".err").unlink(missing_ok=True)
    fault = Fault(kind=run.kind)
    try:
        with FinalNames(output, work.reference, pause_seconds=0.02) as watcher:
            _until_whole(cluster, work, run, fault=fault, choose=choose, output=output, log=log)
            fault.undo()
        run.problems += watcher.problems
        run.problems += _leftovers(work, run, output)
    finally:
        fault.undo()
    _read_log(run, log)
    shutil.rmtree(output, ignore_errors=True)
    return run


def _until_whole(
    cluster: SoakCluster,
    work: Work,
    run: Run,
    *,
    fault: Fault,
    choose: random.Random,
    output: Path,
    log: Path,
) -> None:
    started = time.monotonic()
    driver = _submit(cluster, work, run, output, log)
    pending = run.kind in KINDS
    while True:
        elapsed = time.monotonic() - started
        if elapsed > BOUND_SECONDS:
            run.problems.append(f"not whole after {BOUND_SECONDS:.0f} s")
            _end(driver)
            return
        if pending and elapsed > run.moment and (run.kind not in _BEGUN_FIRST or has_begun(log)):
            pending = not KINDS[run.kind](cluster, choose, fault)
            run.hit = None if pending else round(elapsed, 2)
        fault.tick()
        code = driver.poll()
        if code == 0 and not fault.needs_restart:
            run.seconds = time.monotonic() - started
            run.fault = fault.words
            return
        if code is not None or fault.needs_restart:
            # After a restart of the head the earlier driver may still be alive.
            fault.needs_restart = False
            time.sleep(0.5)
            driver = _submit(cluster, work, run, output, log)
        time.sleep(0.1)


def _submit(cluster: SoakCluster, work: Work, run: Run, output: Path, log: Path) -> "subprocess.Popen[bytes]":
    run.submissions += 1
    request = make_request(
        work.recipe,
        origin="recipe",
        places=work.places,
        shard_size=work.shard_size,
        output=str(output),
    )
    name = f"soak-{run.number}-{run.submissions}"
    return cluster.drive({REQUEST_VARIABLE: encode_request(request), JOB_VARIABLE: name}, log)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def _leftovers(work: Work, run: Run, output: Path) -> list[str]:
    """Collect orphans with `clean`; return what is too much, missing or different after that."""
    command = [*measure.distexpand_command(), "clean", str(output)]
    before = {path for path in output.rglob("*") if path.is_file()}
    done = subprocess.run(
        command, env=measure.environment(), capture_output=True, text=True, check=False, timeout=60
    )
    problems = [f"clean: {done.stderr.strip()[-300:]}"] if done.returncode else []
    run.cleaned = len(before - set(output.rglob("*")))
    found = file_digests(output)
    problems += [
        f"{name}: left over after clean"
        if name not in work.digests
        else f"{name}: differs from the local run's"
        for name in sorted(found.keys() | work.digests.keys())
        if found.get(name) != work.digests.get(name)
    ]
    folders = {path for path in output.rglob(".distexpand*") if path.is_dir()}
    return problems + [f"{path.name}: folder left over after clean" for path in sorted(folders)]


def _read_log(run: Run, log: Path) -> None:
    """Count what the drivers told, and check that retries are bounded."""
    tries: Counter[tuple[str, str]] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        event = decode_event(line)
        match event:
            case AttemptLost():
                run.lost += 1
                run.reasons.append(event.reason)
                tries[line.split('"run":"')[1].partition('"')[0], event.shard] += 1
            case AttemptDoubled():
                run.doubled += 1
                run.reasons.append(event.reason)
            case RunEnded() if event.exit_code:
                run.reasons.append(f"ended {event.exit_code}: {event.message}")
            case _:
                pass
    run.most_tries = max(tries.values(), default=0)
    if run.most_tries > DEFAULT_TRIES:
        run.problems.append(f"a shard was lost {run.most_tries} times in one submission")
    errors = log.with_suffix(".err").read_text(errors="replace")
    if "Traceback" in errors:
        run.problems.append(f"a traceback: {errors[errors.rindex('Traceback') :][-600:]}")


def moments(choose: random.Random, seconds: float) -> float:
    """Return a random moment of a run that takes so many seconds undisturbed."""
    return choose.uniform(_EARLIEST, max(_EARLIEST, 0.8 * seconds))


if __name__ == "__main__":
    sys.exit("this is a part of benchmarks.soak")
