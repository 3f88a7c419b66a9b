"""`plan --html`, `--svg` and `--png`: the layer map as files."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distexpand.cli.options import Command
from distexpand.cli.places import LocalPath
from distexpand.storage.local.own_file import write_own_file

if TYPE_CHECKING:
    from distexpand.api import PlannedExpansion
    from distexpand.planning.cost.model import Cost
    from distexpand.report.summary import PlanSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class MapFiles:
    """The files that are asked for."""

    html: Path | None
    svg: Path | None
    png: Path | None


def map_options(command: Command) -> Command:
    """--html, --svg, --png."""
    kind = LocalPath(path_type=Path, dir_okay=False)
    for option in (
        click.option("--png", type=kind, help="Draw the layer map as PNG; needs distexpand[png]."),
        click.option("--svg", type=kind, help="Draw the layer map as SVG."),
        click.option(
            "--html", type=kind, help="Write a report with the layer map as one page for a browser."
        ),
    ):
        command = option(command)
    return command


def write_maps(
    planned: "PlannedExpansion", files: MapFiles, summary: "PlanSummary | None", cost: "Cost | None"
) -> None:
    """Write the files that are asked for; `summary` has to be there for a page.

    Raises:
        UsageError: a file exists and is something else.
        MissingDependencyError: what draws PNG isn't installed.
        StorageError: a file can't be written.
    """
    if files == MapFiles(html=None, svg=None, png=None):
        return
    from distexpand.planning.codec.plans import plan_digest
    from distexpand.report.layer_map.layers import layer_map
    from distexpand.report.layer_map.page import PAGE_MARK, PageContent, map_page
    from distexpand.report.layer_map.png import PNG_MARK, map_png
    from distexpand.report.layer_map.svg import SVG_MARK, map_svg
    from distexpand.report.model_card import plan_title

    plan = planned.plan
    shown = layer_map(plan, title=plan_title(plan))
    if files.png is not None:
        _write(files.png, map_png(map_svg(shown)), PNG_MARK)
    if files.svg is not None:
        _write(files.svg, map_svg(shown).encode(), SVG_MARK.encode())
    if files.html is not None and summary is not None:
        content = PageContent(
            shown=shown, summary=summary, recipe=plan.recipe, digest=plan_digest(plan), cost=cost
        )
        _write(files.html, map_page(content).encode(), PAGE_MARK.encode())


def _write(path: Path, data: bytes, mark: bytes) -> None:
    write_own_file(path, data, what="a layer map of distexpand", is_own=lambda start: mark in start)
