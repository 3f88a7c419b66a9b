"""The entry point: the commands, and the one table from exception to message and exit code."""

import contextlib
import gc
import os
import sys

import click

from distexpand import __version__
from distexpand.cli.adapter_command import adapter_command
from distexpand.cli.archive_commands import pack_command, unpack_command
from distexpand.cli.batch_command import batch_command
from distexpand.cli.clean_command import clean_command
from distexpand.cli.completion import completion_command
from distexpand.cli.demo_command import demo_command
from distexpand.cli.doctor_command import doctor_command
from distexpand.cli.eval_command import eval_command
from distexpand.cli.init_command import init_command
from distexpand.cli.inspect_command import inspect_command
from distexpand.cli.jobs_command import jobs_command
from distexpand.cli.messages import discard_output, show_error
from distexpand.cli.plan_command import plan_command
from distexpand.cli.run_command import run_command
from distexpand.cli.schema_command import schema_command
from distexpand.cli.submit_command import submit_command
from distexpand.cli.trainable_command import trainable_command
from distexpand.cli.verify_command import verify_command
from distexpand.errors import DistexpandError, InterruptedRunError, StorageError, UsageError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="distexpand")
def cli() -> None:
    """Make a large language model bigger: duplicate, stack, zero, rescale and remap its layers."""


for _command in (
    plan_command,
    run_command,
    submit_command,
    jobs_command,
    batch_command,
    verify_command,
    eval_command,
    clean_command,
    pack_command,
    unpack_command,
    inspect_command,
    init_command,
    schema_command,
    trainable_command,
    adapter_command,
    demo_command,
    doctor_command,
    completion_command,
):
    cli.add_command(_command)


_OBJECTS_PER_COLLECTION = 50_000
"""Python's 700 would have it look for garbage, in vain, among the millions of objects of a large plan."""


def run() -> int:
    """Run this process's command line and return its exit code."""
    _keep_standard_streams()
    gc.set_threshold(_OBJECTS_PER_COLLECTION)
    return run_cli(sys.argv[1:])


def run_cli(arguments: list[str]) -> int:
    """Run one command line and return its exit code; errors are shown, never raised."""
    as_json = "--json" in arguments
    try:
        cli.main(args=arguments, prog_name="distexpand", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except DistexpandError as error:
        show_error(error, as_json=as_json)
        return error.exit_code
    except click.ClickException as error:
        if as_json:
            show_error(UsageError(error.format_message()), as_json=True)
        elif sys.stderr is not None:
            with contextlib.suppress(OSError):
                error.show()
        return UsageError.exit_code
    except (click.Abort, KeyboardInterrupt):
        show_error(InterruptedRunError("interrupted"), as_json=as_json)
        return InterruptedRunError.exit_code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except OSError as error:
        return _output_failed(error)
    return 0


def _output_failed(error: OSError) -> int:
    """Say that standard output can't be written to; a pipe whose reader left is nothing to speak of.

    Every other operation on a file is mapped where it happens, and its error names the file.
    """
    if error.filename is not None:
        raise error
    discard_output()
    if not isinstance(error, BrokenPipeError):
        show_error(StorageError(f"standard output: can't write: {error.strerror}"), as_json=False)
    return StorageError.exit_code


def _keep_standard_streams() -> None:
    """Let no file that is opened later take the place of a closed standard stream.

    What a library writes there would go into that file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
