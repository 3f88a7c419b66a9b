"""`distexpand.verify`: is an output whole and right, does it load, and how far is it from its base model."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from distexpand.api import verify_output
from distexpand.errors import UsageError, VerificationError
from distexpand.python.arguments import Place, output_of, places_of, thread_count
from distexpand.python.progress import ProgressLike, sink_of
from distexpand.python.purposes import without_purpose
from distexpand.runner.local import DEFAULT_THREADS
from distexpand.runner.place import Output
from distexpand.verifying.report import Difference, VerifyReport

if TYPE_CHECKING:
    from distexpand.running.comparison import Comparison


def verify(
    output: Place,
    *,
    sources: bool = False,
    load: bool = False,
    identity: bool = False,
    record: bool = False,
    models: Mapping[str, Place] | None = None,
    model: Place | None = None,
    text: str | None = None,
    device: str = "cpu",
    trust_remote_code: bool = False,
    threads: int = DEFAULT_THREADS,
    progress: ProgressLike = None,
) -> VerifyReport:
    """Check an output: files, index and config agree, every tensor has its digest.

    Args:
        output: what `run` wrote, wherever it lies.
        sources: also recompute every tensor from the sources by the recipe.
        load: also load it in transformers; every key has its place. Only what lies on this machine.
        identity: also run it beside its base model, one layer in memory at a time: equal bit for bit
            where only identity blocks were added, else the report's `comparison` tells how far they
            are apart. Only what lies on this machine.
        record: if nothing differs, add digests that the manifest lacks because blocks were shared.
        models: path or address of the models that the recipe names, for `sources` and `identity`.
        model: likewise, of the only one.
        text: what is said to both models, for `identity`; a small one of ours if not given.
        device: where they run.
        trust_remote_code: whether code that came with the model may run, for `load` and `identity`.
        threads: blocks that are read at once.
        progress: as for `run`.

    Returns:
        What was looked at and every difference; `ok` if there is none.

    Raises:
        UsageError: something is given that no check asked for uses, or isn't what it has to be.
        OutputError: there is no output of ours.
        DistexpandError: something can't be read.
    """
    place, places = output_of(output), places_of(model, models)
    _require_text(text)
    for name, purposes in without_purpose(
        sources=sources,
        load=load,
        identity=identity,
        models=bool(places),
        text=text is not None,
        device=device != "cpu",
        trust_remote_code=trust_remote_code,
    ):
        wanted = " or ".join(f"{purpose}=True" for purpose in purposes)
        raise UsageError(f"{name} is for {wanted}", hint=f"Give {wanted} as well, or leave {name} out.")
    if load or identity:
        _require_local(place)
    report = verify_output(
        place,
        sources=sources,
        record=record,
        places=places,
        threads=thread_count(threads),
        progress=sink_of(progress, stage="verify"),
    )
    if load and report.ok and isinstance(place, Path):
        report = _loaded(place, report, trust_remote_code=trust_remote_code)
    if identity and report.ok and isinstance(place, Path):
        from distexpand.models import compare_with_source  # noqa: PLC0415  # brings torch

        comparison = compare_with_source(
            place, places=places, text=text, device=device, trust_remote_code=trust_remote_code
        )
        report = with_comparison(report, comparison)
    return report


def _require_text(text: object) -> None:
    if text is None:
        return
    if not isinstance(text, str):
        raise UsageError(f"text={text!r}: expected a text")
    if not text.strip():
        raise UsageError(f"text={text!r}: holds no text", hint="Give at least some words of text.")


def _require_local(place: Output) -> None:
    if not isinstance(place, Path):
        raise UsageError(
            f"{place}: only an output on this machine can be run", hint="Give a directory of this machine."
        )


def _loaded(output: Path, report: VerifyReport, *, trust_remote_code: bool) -> VerifyReport:
    """Return the report with what loading found."""
    from distexpand.models import load_output  # noqa: PLC0415  # brings torch

    try:
        load_output(output, trust_remote_code=trust_remote_code)
    except VerificationError as error:
        return with_load(report, output, error)
    return with_load(report, output, None)


def with_load(report: VerifyReport, output: Path, error: VerificationError | None) -> VerifyReport:
    """Return a report with what loading the output ended with."""
    differences = report.differences
    if error is not None:
        message = error.message.removeprefix(f"{output}: ")
        differences = (*differences, Difference(check="load", file="", tensor="", message=message))
    return replace(report, checks=(*report.checks, "load"), differences=differences)


def with_comparison(report: VerifyReport, comparison: "Comparison") -> VerifyReport:
    """Return a report with what running both models found."""
    differences = report.differences
    if not comparison.ok:
        message = (
            f"only adds identity blocks to {comparison.source}, but its logits differ by up to "
            f"{comparison.largest_difference:.3g}"
        )
        differences = (*differences, Difference(check="identity", file="", tensor="", message=message))
    checks = (*report.checks, "identity")
    return replace(report, checks=checks, differences=differences, comparison=comparison)
