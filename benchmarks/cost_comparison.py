"""The cost model beside measured runs: one table, wherever the seconds come from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from distexpand.planning.cost.demand import Cluster, Constants
from distexpand.planning.cost.model import MEASURED, predict
from distexpand.planning.cost.rates import Storage
from distexpand.planning.cost.work import ShardWork

HEADINGS = ("nodes", "measured s", "predicted s", "error", "efficiency measured", "predicted", "held up by")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One measured run and what the model says of it; seconds."""

    nodes: int
    measured: float
    predicted: float
    bottleneck: str

    @property
    def error(self) -> float:
        """The prediction's deviation as a share of the measurement; positive if predicted too slow."""
        return self.predicted / self.measured - 1


def compare(
    work: Sequence[ShardWork],
    cluster: Cluster,
    storage: Storage,
    measured: Sequence[tuple[int, float]],
    *,
    constants: Constants = MEASURED,
) -> list[Compared]:
    """Return the model's seconds beside measured (nodes, seconds); `cluster.nodes` doesn't count."""
    rows = []
    for nodes, seconds in measured:
        prediction = predict(work, replace(cluster, nodes=nodes), storage, constants)
        rows.append(
            Compared(
                nodes=nodes,
                measured=seconds,
                predicted=prediction.seconds,
                bottleneck=prediction.bottleneck,
            )
        )
    return rows


def table_rows(compared: Sequence[Compared]) -> list[list[str]]:
    """Return the cells under `HEADINGS`; efficiencies are against the first row."""
    first = compared[0]
    return [
        [
            str(one.nodes),
            f"{one.measured:.1f}",
            f"{one.predicted:.1f}",
            f"{one.error:+.0%}",
            f"{first.measured * first.nodes / (one.measured * one.nodes):.2f}",
            f"{first.predicted * first.nodes / (one.predicted * one.nodes):.2f}",
            one.bottleneck,
        ]
        for one in compared
    ]
