"""`distexpand pack` and `distexpand unpack`: a checkpoint as an archive, and back."""

import os
import time
from pathlib import Path

import click

from distexpand.cli.interruption import stopping_on_signals
from distexpand.cli.messages import print_json, say
from distexpand.cli.options import json_option, quiet_option, threads_option
from distexpand.cli.places import LocalPath
from distexpand.errors import UsageError


@click.command("pack", short_help="Compress the checkpoint OUT into the directory ARCHIVE.")
@click.argument("out", type=LocalPath(path_type=Path))
@click.argument("archive", type=LocalPath(path_type=Path))
@click.option(
    "--dense",
    is_flag=True,
    help="Smaller: byte planes apart, duplicates stored once. Only distexpand reads it; "
    "without, `zstd -d` opens every file.",
)
@click.option(
    "--level",
    type=click.IntRange(1, 22),
    help="A level of zstd for what isn't taken apart.  [default: what suits weights]",
)
@threads_option
@quiet_option
@json_option
def pack_command(
    out: Path, archive: Path, dense: bool, level: int | None, threads: int, quiet: bool, as_json: bool
) -> None:
    """Compress all files of the checkpoint OUT into the directory ARCHIVE.

    ARCHIVE holds them by the same names, large ones as .zst files with a seek table, so that a
    tensor can be read without the rest. OUT stays as it is.
    """
    from distexpand.archive.pack import pack_checkpoint
    from distexpand.archive.tree import LocalTree, refuse_inside
    from distexpand.formats.archive_index import Form
    from distexpand.report.sizes import bytes_text, plural
    from distexpand.report.watching.display import progress_display

    source = LocalTree(out)
    refuse_inside(archive, out)
    started = time.monotonic()
    display = progress_display(quiet=quiet or as_json)
    with stopping_on_signals(display.note) as stop:
        packed = pack_checkpoint(
            source,
            archive,
            form=Form.DENSE if dense else Form.PLAIN,
            level=level,
            threads=threads,
            stop=stop,
            progress=display,
        )
    if as_json:
        print_json(
            {
                "archive": str(archive),
                "form": str(Form.DENSE if dense else Form.PLAIN),
                "files": packed.files,
                "bytes": packed.size,
                "archive_bytes": packed.packed_size,
                "repeated_bytes": packed.repeated,
                "shared_bytes": packed.shared,
                "left_out": source.left_out,
                "seconds": time.monotonic() - started,
            }
        )
        return
    for name in source.left_out:
        say(f"left out: {name}")
    if not quiet:
        share = f"{packed.packed_size / max(packed.size, 1):.1%}"
        shared = f", {bytes_text(packed.shared)} of it shared" if packed.shared else ""
        say(
            f"{archive}: {plural(packed.files, 'file')}, {bytes_text(packed.size)} "
            f"in {bytes_text(packed.packed_size)} ({share}){shared}"
        )


@click.command("unpack", short_help="Restore the checkpoint of ARCHIVE in the directory OUT.")
@click.argument("archive", type=LocalPath(path_type=Path))
@click.argument("out", type=LocalPath(path_type=Path))
@threads_option
@quiet_option
@json_option
def unpack_command(archive: Path, out: Path, threads: int, quiet: bool, as_json: bool) -> None:
    """Restore every file of ARCHIVE in the directory OUT, byte for byte and checked by its digest."""
    from distexpand.archive.tree import refuse_inside
    from distexpand.archive.unpack import unpack_checkpoint
    from distexpand.report.sizes import bytes_text, plural
    from distexpand.report.watching.display import progress_display
    from distexpand.storage.local.directories import LocalSource

    if not os.path.isdir(archive):  # noqa: PTH112  # false, not an error, for a name too long
        raise UsageError(
            f"{archive}: no such directory", hint="Give a directory that `distexpand pack` made."
        )
    refuse_inside(out, archive)
    started = time.monotonic()
    display = progress_display(quiet=quiet or as_json)
    with stopping_on_signals(display.note) as stop:
        unpacked = unpack_checkpoint(
            LocalSource(archive),
            out,
            threads=threads,
            stop=stop,
            progress=display,
        )
    if as_json:
        print_json(
            {
                "output": str(out),
                "files": unpacked.files,
                "bytes": unpacked.size,
                "archive_bytes": unpacked.packed_size,
                "seconds": time.monotonic() - started,
            }
        )
    elif not quiet:
        say(f"{out}: {plural(unpacked.files, 'file')}, {bytes_text(unpacked.size)}")
