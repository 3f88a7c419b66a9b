"""The cluster's part of what `distexpand plan` prints: how long, held up by what, and how many nodes help."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from distexpand.planning.cost.model import Cost, Prediction
from distexpand.report.sizes import bytes_text, duration_text, plural, rate_text

_STAGES = ("start", "transfer", "waiting", "finish")


def cost_report(cost: Cost) -> RenderableType:
    """Return the predicted time and what it rests on, one subject per row, then advice."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(style="dim")
    for row in cost_rows(cost):
        table.add_row(*row)
    advice = [Padding(Text(line, style="dim"), (0, 0, 0, 2)) for line in cost.advice]
    return Group(table, *advice)


def cost_rows(cost: Cost) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and remark of each figure, for a terminal and for a page."""
    nodes = plural(cost.cluster.nodes, "node")
    yield "cluster", nodes, _cluster_remark(cost)
    yield "time", duration_text(cost.prediction.seconds), _stages(cost.prediction)
    yield "held up by", cost.prediction.bottleneck, _others(cost.prediction)
    yield "efficiency", f"{cost.efficiency:.0%}", _alone(cost)
    yield "enough", plural(cost.enough_nodes, "node"), "twice as many save less than a tenth"
    yield "memory in all", bytes_text(cost.memory), "workers at their peak"


def _cluster_remark(cost: Cost) -> str:
    cluster = cost.cluster
    link = f"{rate_text(cluster.network)} each, " if cost.storage.remote else ""
    return f"{link}{cluster.per_node} x {cluster.threads} blocks at once, storage {cost.storage.name}"


def _stages(prediction: Prediction) -> str:
    return ", ".join(f"{name} {duration_text(getattr(prediction, name))}" for name in _STAGES)


def _others(prediction: Prediction) -> str:
    """Name the next two resources, as what would hold the work up if the first were faster."""
    ranked = sorted(prediction.bounds.items(), key=lambda bound: -bound[1])
    left = [(name, seconds) for name, seconds in ranked if name != prediction.bottleneck and seconds]
    return "then " + ", ".join(f"{name} {duration_text(seconds)}" for name, seconds in left[:2])


def _alone(cost: Cost) -> str:
    return f"of {plural(cost.cluster.nodes, 'node')}; one takes {duration_text(cost.one_node_seconds)}"
