"""`distexpand verify`: is an output whole and right; exit code 3 where it isn't."""

from typing import TYPE_CHECKING

import click

from distexpand.cli.messages import print_json, say
from distexpand.cli.options import json_option, model_option, parse_places, quiet_option, threads_option
from distexpand.cli.places import PLACE
from distexpand.errors import VerificationError

if TYPE_CHECKING:
    from distexpand.runner.place import Output


@click.command("verify", short_help="Check OUT: files, config, digests, and its sources.")
@click.argument("out", type=PLACE)
@click.option("--sources", is_flag=True, help="Also recompute every tensor from the sources by the recipe.")
@click.option(
    "--record", is_flag=True, help="If nothing differs, add digests that the manifest lacks (shared blocks)."
)
@model_option
@threads_option
@quiet_option
@json_option
def verify_command(
    out: "Output",
    sources: bool,
    record: bool,
    models: tuple[str, ...],
    threads: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Check OUT: files, index and config agree; every tensor has its digest."""
    from distexpand.api import verify_output
    from distexpand.report.glyphs import UNICODE, printable
    from distexpand.report.progress import progress_display
    from distexpand.report.sizes import bytes_text, plural

    progress = progress_display(quiet=quiet)
    places = parse_places(models)
    report = verify_output(
        out, sources=sources, record=record, places=places, threads=threads, progress=progress
    )
    if as_json:
        print_json(report.to_json())
        if not report.ok:
            raise SystemExit(VerificationError.exit_code)
        return
    if not quiet:
        for note in report.notes:
            say(f"note: {note}")
    if not report.ok:
        first = report.differences[0]
        where = f"{first.file}: {first.tensor}" if first.tensor else first.file
        raise VerificationError(
            f"{out}: {where}: {first.message}",
            hint=f"{plural(len(report.differences), 'difference')} in all; --json lists them.",
        )
    if not quiet:
        counts = [plural(report.layers, "layer"), plural(report.tensors, "tensor")]
        if report.unrecorded and "sources" not in report.checks:
            counts.append(f"{report.unrecorded} of them without a digest to compare")
        click.echo(
            f"{printable(str(out), UNICODE)}: {', '.join(report.checks)} verified: "
            f"{', '.join(counts)}, {bytes_text(report.bytes_read)}"
        )
