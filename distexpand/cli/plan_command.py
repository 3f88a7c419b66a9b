"""`distexpand plan`: what would happen, from headers and config alone."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from distexpand.cli.map_files import MapFiles, map_options, write_maps
from distexpand.cli.messages import print_json, refuse_findings
from distexpand.cli.options import (
    cluster_cost_options,
    json_option,
    layout_option,
    load_check_options,
    model_option,
    recipe_argument,
    shard_size_option,
    strict_option,
    threads_option,
)
from distexpand.cli.places import PLACE, LocalPath
from distexpand.cli.planning import planned_expansion

if TYPE_CHECKING:
    from distexpand.runner.place import Output


@click.command("plan", short_help="Show what RECIPE would make: layers, sizes, disk, problems.")
@recipe_argument
@model_option
@shard_size_option
@layout_option
@threads_option
@strict_option
@click.option(
    "--output", type=PLACE, help="Where it would be written, for the disk space and how bytes would move."
)
@click.option("--canonical", is_flag=True, help="Print the recipe in canonical form instead.")
@click.option(
    "--save",
    type=LocalPath(path_type=Path, dir_okay=False),
    help="Write the plan to a file that `distexpand run` takes in the recipe's place.",
)
@map_options
@load_check_options
@cluster_cost_options
@json_option
def plan_command(
    recipe: str,
    models: tuple[str, ...],
    shard_size: str | None,
    layout: str | None,
    threads: int,
    strict: bool,
    output: "Output | None",
    canonical: bool,
    save: Path | None,
    html: Path | None,
    svg: Path | None,
    png: Path | None,
    check_load: bool | None,
    trust_remote_code: bool,
    nodes: int | None,
    per_node: int | None,
    network: str | None,
    storage: str | None,
    as_json: bool,
) -> None:
    """Show what RECIPE would make: layers, sizes, memory, disk, problems. Reads no weight."""
    from distexpand.api import summarise_plan
    from distexpand.cli.cost_options import cost_of, cost_question
    from distexpand.planning.codec.plans import plan_digest
    from distexpand.python.load_check import checked_load
    from distexpand.python.saved_plan import save_plan

    question = cost_question(nodes, per_node, network, storage, threads=threads)
    planned = planned_expansion(recipe, models, shard_size, layout)
    proof = None
    if check_load:
        planned, proof = checked_load(planned, trust_remote_code=trust_remote_code)
    if strict:
        refuse_findings(planned.findings)
    if save is not None:
        save_plan(planned, save)
    files = MapFiles(html=html, svg=svg, png=png)
    if canonical and not as_json and html is None:
        write_maps(planned, files, None, None)
        click.echo(planned.plan.recipe, nl=False)
        return
    summary = summarise_plan(planned, output=output, threads=threads)
    cost = None if question is None else cost_of(planned.plan, question)
    write_maps(planned, files, summary, cost)
    if canonical and not as_json:
        click.echo(planned.plan.recipe, nl=False)
        return
    if as_json:
        digest = plan_digest(planned.plan)
        remapped = list(planned.remapped_keys)
        print_json(
            {
                **summary.to_json(),
                "plan_digest": digest,
                "remapped_config_keys": remapped,
                "recipe": planned.plan.recipe,
                **({} if proof is None else {"load_check": proof.to_json()}),
                **({} if cost is None else {"cost": cost.to_json()}),
            }
        )
        return
    from rich.console import Console

    from distexpand.report.plan_report import plan_report

    Console().print(plan_report(summary, planned.plan))
    if proof is not None and proof.loader and not proof.source_problem:
        click.echo(f"\nloads as {proof.loader}, every layer as what it was")
    if cost is not None:
        from distexpand.report.cost_report import cost_report

        Console().print("", cost_report(cost), sep="\n")
