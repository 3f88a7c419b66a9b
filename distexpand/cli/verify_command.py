"""`distexpand verify`: is an output whole and right; exit code 3 where it isn't."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from distexpand.cli.messages import print_json, say
from distexpand.cli.options import json_option, model_option, parse_places, quiet_option, threads_option
from distexpand.cli.places import PLACE
from distexpand.cli.verify_running import (
    asked_checks,
    run_checks,
    running_checks,
    show_found,
    verified_document,
)
from distexpand.errors import UsageError, VerificationError

if TYPE_CHECKING:
    from distexpand.runner.place import Output
    from distexpand.verifying.report import VerifyReport


@click.command("verify", short_help="Check OUT: files, config, digests, its sources, and that it runs.")
@click.argument("out", type=PLACE)
@click.option("--sources", is_flag=True, help="Also recompute every tensor from the sources by the recipe.")
@click.option(
    "--record", is_flag=True, help="If nothing differs, add digests that the manifest lacks (shared blocks)."
)
@running_checks
@model_option
@threads_option
@quiet_option
@json_option
def verify_command(
    out: "Output",
    sources: bool,
    record: bool,
    loads: bool,
    identity: bool,
    text_file: str | None,
    device: str,
    trust_remote_code: bool,
    models: tuple[str, ...],
    threads: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Check OUT: files, index and config agree; every tensor has its digest.

    --load and --identity also run it, with one layer in memory at a time.
    """
    from distexpand.api import verify_output
    from distexpand.report.watching.display import progress_display

    _refuse_without_purpose(
        sources=sources,
        load=loads,
        identity=identity,
        models=bool(models),
        text=text_file is not None,
        device=device != "cpu",
        trust_remote_code=trust_remote_code,
    )
    checks = asked_checks(
        out,
        loads=loads,
        identity=identity,
        text_file=text_file,
        device=device,
        trust_remote_code=trust_remote_code,
    )
    progress = progress_display(quiet=quiet)
    places = parse_places(models)
    report = verify_output(
        out, sources=sources, record=record, places=places, threads=threads, progress=progress
    )
    if as_json:
        document = verified_document(out, report, checks, places=places)
        print_json(document)
        if not document["ok"]:
            raise SystemExit(VerificationError.exit_code)
        return
    _judge(out, report, quiet=quiet)
    if isinstance(out, Path):
        show_found(out, run_checks(out, checks, places=places, quiet=quiet), quiet=quiet)


def _refuse_without_purpose(**given: bool) -> None:
    """Refuse an option that belongs to a check which isn't asked for.

    Raises:
        UsageError: there is one.
    """
    from distexpand.python.purposes import without_purpose

    for name, purposes in without_purpose(**given):
        option, wanted = f"--{name.replace('_', '-')}", " or ".join(f"--{purpose}" for purpose in purposes)
        perplexity = "; for a model's perplexity on it: distexpand eval" if name == "text" else ""
        raise UsageError(
            f"{option} is for {wanted}",
            hint=f"Give {wanted} as well, or leave {option} out{perplexity}.",
        )


def _judge(out: "Output", report: "VerifyReport", *, quiet: bool) -> None:
    """Say what was found.

    Raises:
        VerificationError: something differs.
    """
    from distexpand.report.glyphs import UNICODE, printable
    from distexpand.report.sizes import bytes_text, plural
    from distexpand.verifying.report import require_ok

    if not quiet:
        for note in report.notes:
            say(f"note: {note}")
    require_ok(report, out)
    if not quiet:
        counts = [plural(report.layers, "layer"), plural(report.tensors, "tensor")]
        if report.unrecorded and "sources" not in report.checks:
            counts.append(f"{report.unrecorded} of them without a digest to compare")
        click.echo(
            f"{printable(str(out), UNICODE)}: {', '.join(report.checks)} verified: "
            f"{', '.join(counts)}, {bytes_text(report.bytes_read)}"
        )
