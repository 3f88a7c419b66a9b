"""What `distexpand verify` finds out by running an output: does it load, and what does it say."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distexpand.cli.options import Command
from distexpand.cli.places import local_only
from distexpand.cli.running_options import (
    device_option,
    read_text,
    remote_code_option,
    share_shown,
    text_option,
)
from distexpand.errors import VerificationError
from distexpand.report.glyphs import UNICODE, printable

if TYPE_CHECKING:
    from distexpand.runner.place import Output
    from distexpand.running.comparison import Comparison
    from distexpand.running.loading import Loaded
    from distexpand.verifying.report import VerifyReport


def running_checks(command: Command) -> Command:
    """--load, --identity, --text, --device, --trust-remote-code."""
    for option in (
        remote_code_option,
        device_option,
        text_option(
            required=False, help="For --identity: what is said to both models.  [default: a small text]"
        ),
        click.option(
            "--identity",
            is_flag=True,
            help="Also run OUT and its base model: equal bit for bit where only identity blocks were added, "
            "else it tells how far they are apart.",
        ),
        click.option(
            "--load", "loads", is_flag=True, help="Also load OUT in transformers: every key has its place."
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningChecks:
    """What is to be found out by running; `text` is what is said to both models."""

    loads: bool
    identity: bool
    text: str | None
    device: str
    trust_remote_code: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningFound:
    """What was found out, as far as it was asked for."""

    loaded: "Loaded | None" = None
    comparison: "Comparison | None" = None

    @property
    def ok(self) -> bool:
        """Whether nothing is other than it has to be."""
        return self.comparison is None or self.comparison.ok


def asked_checks(
    out: "Output", *, loads: bool, identity: bool, text_file: str | None, device: str, trust_remote_code: bool
) -> RunningChecks:
    """Return the checks that the options ask for.

    Raises:
        UsageError: the text can't be read, or OUT is elsewhere.
    """
    if loads or identity:
        local_only(out, "only an output on this machine can be run")
    return RunningChecks(
        loads=loads,
        identity=identity,
        text=None if text_file is None else read_text(text_file),
        device=device,
        trust_remote_code=trust_remote_code,
    )


def run_checks(out: Path, checks: RunningChecks, *, places: Mapping[str, str], quiet: bool) -> RunningFound:
    """Load OUT, and compare it with its base model; the caller judges what the latter says.

    Raises:
        VerificationError: OUT doesn't load, or a key has no place.
        DistexpandError: something can't be read or run.
    """
    from distexpand.models import compare_with_source, load_output

    loaded = load_output(out, trust_remote_code=checks.trust_remote_code) if checks.loads else None
    if not checks.identity:
        return RunningFound(loaded=loaded)
    with share_shown("running both models", quiet=quiet) as progress:
        comparison = compare_with_source(
            out,
            places=places,
            text=checks.text,
            device=checks.device,
            trust_remote_code=checks.trust_remote_code,
            progress=progress,
        )
    return RunningFound(loaded=loaded, comparison=comparison)


def verified_document(
    out: "Output", report: "VerifyReport", checks: RunningChecks, *, places: Mapping[str, str]
) -> dict[str, Any]:
    """Run the checks that an output without differences is due, and return everything for `--json`."""
    from distexpand.python.verifying import with_comparison, with_load

    if not report.ok or not isinstance(out, Path):
        return report.to_json()
    try:
        found = run_checks(out, checks, places=places, quiet=True)
    except VerificationError as error:
        return with_load(report, out, error).to_json()
    if found.loaded is not None:
        report = with_load(report, out, None)
    if found.comparison is not None:
        report = with_comparison(report, found.comparison)
    load = {} if found.loaded is None else {"load": asdict(found.loaded)}
    return report.to_json() | load


def show_found(out: Path, found: RunningFound, *, quiet: bool) -> None:
    """Say what was found.

    Raises:
        VerificationError: only identity blocks were added, and yet the logits differ.
    """
    lines = [] if found.loaded is None else [load_words(found.loaded)]
    if found.comparison is not None and found.ok:
        lines.append(identity_words(found.comparison))
    for line in lines if not quiet else ():
        click.echo(printable(f"{out}: {line}", UNICODE))
    if found.comparison is not None and not found.ok:
        raise VerificationError(
            f"{out}: only adds identity blocks to {found.comparison.source}, but its logits differ by up to "
            f"{found.comparison.largest_difference:.3g}",
            hint="If it was trained since, that is as it should be; else `distexpand verify OUT --sources` "
            "finds the tensors that aren't as planned.",
        )


def load_words(loaded: "Loaded") -> str:
    """Say what loaded an output."""
    where = ", layers left on disk" if loaded.from_disk else ""
    return f"loads as {loaded.loader}: no key missing, unexpected or of another shape{where}"


def identity_words(comparison: "Comparison") -> str:
    """Say how far an output is from its source."""
    from distexpand.report.sizes import plural

    count = plural(len(comparison.positions), "position")
    left = f" ({comparison.tokens_left_out:,} more left out)" if comparison.tokens_left_out else ""
    what = "" if comparison.by_tokenizer else " of fixed tokens, as it has no tokenizer"
    if comparison.equal:
        return f"says exactly what {comparison.source} says: logits equal bit for bit at {count}{what}{left}"
    return (
        f"against {comparison.source} at {count}{what}{left}: logits differ by up to "
        f"{comparison.largest_difference:.3g}, KL divergence {comparison.mean_divergence:.3g} nats on "
        f"average (at most {comparison.largest_divergence:.3g}), same most likely token at "
        f"{comparison.top_agreement:.0%}"
    )
