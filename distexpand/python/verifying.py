"""`distexpand.verify`: is an output whole and right, and does it load."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from distexpand.api import verify_output
from distexpand.errors import UsageError, VerificationError
from distexpand.python.arguments import Place, output_of, places_of
from distexpand.python.progress import ProgressLike, sink_of
from distexpand.runner.local import DEFAULT_THREADS
from distexpand.runner.place import Output
from distexpand.verifying.report import Difference, VerifyReport


def verify(
    output: Place,
    *,
    sources: bool = False,
    load: bool = False,
    record: bool = False,
    models: Mapping[str, Place] | None = None,
    model: Place | None = None,
    trust_remote_code: bool = False,
    threads: int = DEFAULT_THREADS,
    progress: ProgressLike = None,
) -> VerifyReport:
    """Check an output: files, index and config agree, every tensor has its digest.

    Args:
        output: what `run` wrote, wherever it lies.
        sources: also recompute every tensor from the sources by the recipe.
        load: also load it in transformers; every key has its place. Only what lies on this machine.
        record: if nothing differs, add digests that the manifest lacks because blocks were shared.
        models: path or address of the models that the recipe names, for `sources`.
        model: likewise, of the only one.
        trust_remote_code: whether code that came with the model may run, for `load`.
        threads: blocks that are read at once.
        progress: as for `run`.

    Returns:
        What was looked at and every difference; `ok` if there is none.

    Raises:
        OutputError: there is no output of ours.
        DistexpandError: something can't be read.
    """
    place = output_of(output)
    if load:
        _require_local(place)
    report = verify_output(
        place,
        sources=sources,
        record=record,
        places=places_of(model, models),
        threads=threads,
        progress=sink_of(progress, stage="verify"),
    )
    if load and report.ok and isinstance(place, Path):
        return _loaded(place, report, trust_remote_code=trust_remote_code)
    return report


def _require_local(place: Output) -> None:
    if not isinstance(place, Path):
        raise UsageError(
            f"{place}: only an output on this machine can be loaded", hint="Give a directory of this machine."
        )


def _loaded(output: Path, report: VerifyReport, *, trust_remote_code: bool) -> VerifyReport:
    """Return the report with what loading found."""
    from distexpand.models import load_output  # noqa: PLC0415  # brings torch

    checks = (*report.checks, "load")
    try:
        load_output(output, trust_remote_code=trust_remote_code)
    except VerificationError as error:
        message = error.message.removeprefix(f"{output}: ")
        found = Difference(check="load", file="", tensor="", message=message)
        return replace(report, checks=checks, differences=(found,))
    return replace(report, checks=checks)
