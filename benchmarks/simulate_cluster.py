"""How far an expansion scales on paper: model and simulation for three expansions, up to 128 nodes.

Plans are made from headers of the true shapes (data is a hole), so that shard
sizes are the real ones; nothing is copied. Writes tables and the plot into the
documentation with --write.

    python -m benchmarks.simulate_cluster [--write docs]
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks import measure
from benchmarks.cluster_simulation import NONE, Faults, simulate
from benchmarks.svg_lines import efficiency_plot
from distexpand.api import plan_expansion
from distexpand.planning.cost.demand import Cluster
from distexpand.planning.cost.model import MEASURED, Prediction, predict
from distexpand.planning.cost.rates import Storage, parse_rate, parse_storage
from distexpand.planning.cost.work import ShardWork, plan_work
from distexpand.report.sizes import count_text, duration_text
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint

NETWORK = "25Gbps"
PER_NODE = 2
NODES = (1, 2, 4, 8, 16, 32, 64, 128)
SIMULATED = (1, 8, 64)
STARTS = (0, 8, 16, 24, 32, 40, 50, 60)
LARGE = "1.7T"

BACKENDS: tuple[tuple[str, str, int], ...] = (
    ("nfs", "nfs", 4),
    ("lustre", "lustre", 4),
    ("s3, 4 threads", "s3", 4),
    ("s3, 32 threads", "s3", 32),
    ("100 GB/s", "read=100GB/s,write=100GB/s", 8),
)
"""Name, storage, and threads of an attempt."""

FAULTS = (
    ("none", NONE),
    ("a node in 16 four times slower", Faults(slow_share=1 / 16)),
    ("an attempt dies every 1,000 s of work", Faults(deaths=1e-3)),
    ("an attempt dies every 100 s of work", Faults(deaths=1e-2)),
)

_BEGIN, _END = "<!-- tables -->\n", "<!-- end of tables -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """A named expansion's shards; `parameters` of the output."""

    name: str
    parameters: int
    work: tuple[ShardWork, ...]


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--write", type=Path, help="directory of cost-model.md, to put tables and plot into")
    arguments = parser.parse_args()
    with measure.work_directory(arguments.work) as work:
        expansions = list(_expansions(work))
    text = "\n".join([*map(_table, expansions), _fault_table(expansions[-1])])
    print(text)
    if arguments.write is not None:
        _write(arguments.write, text, _plot(expansions[-1]))
    return 0


def _expansions(work: Path) -> Iterator[Expansion]:
    xwin, euryale = (write_checkpoint(work / name, "llama2-70b") for name in ("xwin", "euryale"))
    goliath = (measure.ROOT / "configs" / "goliath-120b.yml").read_text()
    models = {"Xwin-LM/Xwin-LM-70B-V0.1": str(xwin), "Sao10K/Euryale-1.3-L2-70B": str(euryale)}
    yield _expansion("Goliath-120b", goliath, models)
    middle = write_checkpoint(work / "681b", family("llama3.1-405b", num_layers=210))
    bigger = (measure.ROOT / "configs" / "bigllama-3.1-1t.yml").read_text()
    yield _expansion("BigLlama-1T", bigger, {"mlabonne/BigLlama-3.1-681B-Instruct": str(middle)})
    source = write_checkpoint(work / "405b", "llama3.1-405b")
    slices = "".join(f"- sources: [{{model: a, layer_range: [{s}, {s + 66}]}}]\n" for s in STARTS)
    yield _expansion(LARGE, f"slices:\n{slices}merge_method: passthrough\n", {"a": str(source)})


def _expansion(name: str, recipe: str, models: dict[str, str]) -> Expansion:
    plan = plan_expansion(recipe, origin=name, places=models).plan
    return Expansion(name=name, parameters=plan.parameters, work=plan_work(plan))


def _cluster(nodes: int, threads: int) -> Cluster:
    rate = parse_rate(NETWORK, option="network")
    return Cluster(nodes=nodes, per_node=PER_NODE, threads=threads, network=rate)


def _table(expansion: Expansion) -> str:
    size = sum(one.size for one in expansion.work)
    rows = [_row(expansion.work, name, parse_storage(spec), threads) for name, spec, threads in BACKENDS]
    heads = ["storage", *(f"{nodes}" for nodes in NODES), "held up by, as nodes grow", "simulation"]
    title = f"**{expansion.name}**: {count_text(expansion.parameters)} parameters"
    return "\n".join(
        [
            f"{title}, {measure.gigabytes(size)}, {len(expansion.work)} shards; time by number of nodes:\n",
            "| " + " | ".join(heads) + " |",
            "|" + "---|" * len(heads),
            *("| " + " | ".join(row) + " |" for row in rows),
            "",
        ]
    )


def _row(work: Sequence[ShardWork], name: str, storage: Storage, threads: int) -> list[str]:
    found = [predict(work, _cluster(nodes, threads), storage) for nodes in NODES]
    errors = [_against_simulation(one, work, storage, threads) for one in found if one.nodes in SIMULATED]
    largest = max(errors, key=abs)
    return [name, *(duration_text(one.seconds) for one in found), _moves(found), f"{largest:+.1%}"]


def _against_simulation(
    found: Prediction, work: Sequence[ShardWork], storage: Storage, threads: int
) -> float:
    """Return by how much the prediction is over what is simulated, both without start and finish."""
    simulated = simulate(work, _cluster(found.nodes, threads), storage).seconds
    return (found.seconds - found.start - found.finish) / simulated - 1


def _moves(found: Sequence[Prediction]) -> str:
    """Say where the bottleneck moves: `network in, from 4 storage write`."""
    words = [found[0].bottleneck]
    for before, after in pairwise(found):
        if after.bottleneck != before.bottleneck:
            words.append(f"from {after.nodes} {after.bottleneck}")
    return ", ".join(words)


def _fault_table(expansion: Expansion) -> str:
    """Show what faults cost on 64 nodes, whose storage isn't what holds the work up."""
    storage = parse_storage(BACKENDS[-1][1])
    lines = [
        f"**Faults** ({expansion.name}, 64 nodes, storage of {BACKENDS[-1][0]}; simulated without start):\n",
        "| faults | time | attempts | died | doubled |",
        "|---|---|---|---|---|",
    ]
    for name, faults in FAULTS:
        found = simulate(expansion.work, _cluster(64, BACKENDS[-1][2]), storage, faults=faults)
        cells = [duration_text(found.seconds), found.attempts, found.died, found.doubled]
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join([*lines, ""])


def _plot(expansion: Expansion) -> str:
    lines = {}
    for name, spec, threads in BACKENDS:
        storage = parse_storage(spec)
        seconds = [predict(expansion.work, _cluster(nodes, threads), storage).seconds for nodes in NODES]
        lines[name] = [
            (float(nodes), seconds[0] / (nodes * took)) for nodes, took in zip(NODES, seconds, strict=True)
        ]
    start = MEASURED.start
    return efficiency_plot(
        f"{expansion.name} parameters, links of {NETWORK}: efficiency ({start:.0f} s of start included)",
        lines,
    )


def _write(folder: Path, text: str, plot: str) -> None:
    """Put the tables between the document's marks, and the plot beside it."""
    document = folder / "cost-model.md"
    before, _, rest = document.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    document.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{after}")
    (folder / "cost-model.svg").write_text(plot)


if __name__ == "__main__":
    sys.exit(main())
