"""`distexpand submit`: do it on a cluster, by a job that outlives this command."""

from typing import TYPE_CHECKING

import click

from distexpand.cli.attempt_options import attempt_options, cluster_options
from distexpand.cli.cluster_options import address_option, connected_client
from distexpand.cli.messages import say
from distexpand.cli.options import (
    DEFAULT_SHARD_SIZE_TEXT,
    LAYOUTS,
    json_option,
    layout_option,
    model_option,
    parse_places,
    parse_size,
    quiet_option,
    recipe_argument,
    shard_size_option,
    threads_option,
)

if TYPE_CHECKING:
    from distexpand.jobs.client import Submission


@click.command("submit", short_help="Expand by RECIPE on a Ray cluster, into OUT there.")
@recipe_argument
@click.argument("out")
@address_option
@model_option
@shard_size_option
@layout_option
@threads_option
@attempt_options
@click.option("--overwrite", is_flag=True, help="Replace what an earlier run wrote to OUT.")
@click.option("--detach", is_flag=True, help="Return as soon as the run has begun there, or failed to.")
@click.option(
    "--pip",
    "packages",
    multiple=True,
    metavar="PACKAGE",
    help="Install this for the job, where the cluster's machines lack it (repeatable): --pip torch.",
)
@click.option("--driver-on-worker", is_flag=True, help="For a head that doesn't mount sources and output.")
@click.option("--verbose", "-v", is_flag=True, help="Also show what else is in the job's log.")
@quiet_option
@json_option
def submit_command(
    recipe: str,
    out: str,
    address: str | None,
    models: tuple[str, ...],
    shard_size: str | None,
    layout: str | None,
    threads: int,
    per_node: int | None,
    max_in_flight: int | None,
    tries: int | None,
    wait_for_nodes: int | None,
    overwrite: bool,
    detach: bool,
    packages: tuple[str, ...],
    driver_on_worker: bool,
    verbose: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Expand by RECIPE on a Ray cluster, into the directory OUT of its machines.

    Paths are the cluster's: RECIPE alone is read here. The same recipe, models and OUT are one
    job, however often they are submitted; a job that was stopped or lost goes on where it ended.
    An interrupt (Ctrl-C) ends the following, never the job.
    """
    from distexpand.cli.following import conclude, detaching
    from distexpand.cli.planning import recipe_text
    from distexpand.jobs.request import make_request
    from distexpand.jobs.session import run_job
    from distexpand.planning.layout import Layout
    from distexpand.report.watching.cluster_progress import cluster_display

    text, origin = recipe_text(recipe)
    request = make_request(
        text,
        origin=origin,
        places=parse_places(models),
        shard_size=parse_size(shard_size or DEFAULT_SHARD_SIZE_TEXT),
        layout=Layout(layout or LAYOUTS[0]),
        output=out,
        overwrite=overwrite,
        options=cluster_options(
            per_node=per_node,
            max_in_flight=max_in_flight,
            tries=tries,
            wait_for_nodes=wait_for_nodes,
            threads=threads,
        ),
        packages=packages,
    )
    silent = quiet or as_json
    client = connected_client(address)
    jobs: list[str] = []

    def submitted(submission: "Submission") -> None:
        jobs.append(submission.job)
        if not silent:
            say(f"{'already running as' if submission.joined else 'submitted as'} {submission.job}")

    with detaching(jobs, client.address):
        outcome = run_job(
            client,
            request,
            display=lambda: cluster_display(quiet=silent, verbose=verbose),
            submitted=submitted,
            told=lambda words: None if silent else say(words),
            packages=packages,
            driver_on_worker=driver_on_worker,
            until_begun=detach,
        )
    conclude(outcome, client.address, quiet=quiet, as_json=as_json)
