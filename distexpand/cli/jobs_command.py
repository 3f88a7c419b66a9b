"""`distexpand jobs`: come back to what was submitted."""

from typing import TYPE_CHECKING, Any

import click

from distexpand.cli.cluster_options import address_option, connected_client
from distexpand.cli.messages import print_json, say
from distexpand.cli.options import json_option, quiet_option

if TYPE_CHECKING:
    from distexpand.jobs.client import Job
    from distexpand.jobs.progress import JobProgress

_verbose_option = click.option("--verbose", "-v", is_flag=True, help="Also show what else is in its log.")
_id_argument = click.argument("job", metavar="ID")


@click.group("jobs", short_help="List, follow, stop and resume what was submitted.")
def jobs_command() -> None:
    """List, follow, stop and resume what was submitted to a Ray cluster."""


@jobs_command.command("list")
@address_option
@json_option
def list_command(address: str | None, as_json: bool) -> None:
    """List this program's jobs, the oldest first."""
    from distexpand.jobs.client import list_jobs
    from distexpand.jobs.progress import progress_of

    client = connected_client(address)
    jobs = [(job, progress_of(client, job)) for job in list_jobs(client)]
    if as_json:
        print_json({"address": client.address, "jobs": [_document(job, done) for job, done in jobs]})
    elif jobs:
        _show_table(jobs)
    else:
        say(f"{client.address}: no jobs")


@jobs_command.command("status")
@_id_argument
@address_option
@json_option
def status_command(job: str, address: str | None, as_json: bool) -> None:
    """Say how far the job ID is, or how it ended."""
    from distexpand.jobs.client import find_job
    from distexpand.jobs.progress import progress_of

    client = connected_client(address)
    found = find_job(client, job)
    done = progress_of(client, found)
    if as_json:
        print_json(_document(found, done))
    else:
        _show_table([(found, done)])
        if done is not None and done.message:
            say(f"  {done.message}")


@jobs_command.command("logs")
@_id_argument
@address_option
@click.option("--follow", "-f", is_flag=True, help="Show its progress until it is over; exit as it does.")
@_verbose_option
@quiet_option
@json_option
def logs_command(
    job: str, address: str | None, follow: bool, verbose: bool, quiet: bool, as_json: bool
) -> None:
    """Print the log of the job ID, or follow it.

    The log goes to standard output: one JSON object a line is an event of the run, other lines are what
    was printed there. With --follow, progress goes to standard error, as by `submit`.
    """
    client = connected_client(address)
    if not follow:
        _print_log(client, job, as_json=as_json)
        return
    from distexpand.cli.following import conclude, detaching
    from distexpand.jobs.follow import follow as follow_job
    from distexpand.report.watching.cluster_progress import cluster_display

    with detaching([job], client.address):
        outcome = follow_job(client, job, cluster_display(quiet=quiet or as_json, verbose=verbose))
    conclude(outcome, client.address, quiet=quiet, as_json=as_json)


@jobs_command.command("stop")
@_id_argument
@address_option
@quiet_option
@json_option
def stop_command(job: str, address: str | None, quiet: bool, as_json: bool) -> None:
    """Stop the job ID and wait until it is over; finished shards stay."""
    from distexpand.jobs.client import find_job, stop_job

    client = connected_client(address)
    was_over = find_job(client, job).over
    stopped = stop_job(client, job)
    was_over = was_over or stopped.status != "STOPPED"
    if as_json:
        print_json(_document(stopped, None) | {"was_over": was_over})
    elif not quiet and was_over:
        say(f"{job}: was over already ({stopped.status.lower()})")
    elif not quiet:
        say(f"{job}: stopped\n  go on with: distexpand jobs resume {job} --address {client.address}")


@jobs_command.command("resume")
@_id_argument
@address_option
@click.option("--detach", is_flag=True, help="Return as soon as the run has begun there, or failed to.")
@_verbose_option
@quiet_option
@json_option
def resume_command(
    job: str, address: str | None, detach: bool, verbose: bool, quiet: bool, as_json: bool
) -> None:
    """Submit again what the job ID was given; it goes on from its finished shards."""
    from distexpand.cli.following import conclude, detaching
    from distexpand.jobs.client import Submission, find_job, request_of
    from distexpand.jobs.requirements import BASE_REQUIREMENTS
    from distexpand.jobs.session import run_job
    from distexpand.report.watching.cluster_progress import cluster_display

    client = connected_client(address)
    found = find_job(client, job)
    silent = quiet or as_json
    jobs: list[str] = []

    def submitted(submission: Submission) -> None:
        jobs.append(submission.job)
        if not silent:
            say(f"{'already running as' if submission.joined else 'submitted as'} {submission.job}")

    with detaching(jobs, client.address):
        outcome = run_job(
            client,
            request_of(found),
            display=lambda: cluster_display(quiet=silent, verbose=verbose),
            submitted=submitted,
            told=lambda words: None if silent else say(words),
            packages=[package for package in found.packages if package not in BASE_REQUIREMENTS],
            driver_on_worker=found.driver_on_worker,
            until_begun=detach,
        )
    conclude(outcome, client.address, quiet=quiet, as_json=as_json)


def _print_log(client: Any, job: str, *, as_json: bool) -> None:
    from distexpand.jobs.client import job_log

    text = job_log(client, job)
    if as_json:
        print_json({"job": job, "lines": text.splitlines()})
    else:
        click.echo(text, nl=not text.endswith("\n") and bool(text))


def _document(job: "Job", done: "JobProgress | None") -> dict[str, Any]:
    return {
        "job": job.id,
        "status": job.status,
        "over": job.over,
        "output": job.output,
        "recipe": job.recipe,
        "started": job.started,
        "ended": job.ended or None,
        "exit_code": job.exit_code,
        "done_bytes": done.done_bytes if done is not None else None,
        "total_bytes": done.total_bytes if done is not None else None,
        "message": done.message if done is not None else "",
    }


def _show_table(jobs: "list[tuple[Job, JobProgress | None]]") -> None:
    """Print jobs on standard output, where a pipe can take them."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from distexpand.cli.following import age_text
    from distexpand.report.glyphs import UNICODE, printable
    from distexpand.report.sizes import share_text

    table = Table.grid(padding=(0, 2))
    for _ in range(5):
        table.add_column(overflow="fold")
    table.add_row("job", "status", "done", "time", "output", style="bold")
    for job, done in jobs:
        known = done is not None and done.total_bytes > 0
        share = share_text(done.done_bytes, done.total_bytes) if done is not None and known else ""
        table.add_row(job.id, job.status.lower(), share, age_text(job), Text(printable(job.output, UNICODE)))
    Console().print(table)
