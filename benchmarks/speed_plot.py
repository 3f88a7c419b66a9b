"""Draw what `local_speed --json` kept: a bar for each side's median, a whisker from its least to its most.

Of the limit's variants only the fastest is drawn for each way to count reads.

    python -m benchmarks.speed_plot speed.json docs/local-speed.svg
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import speed_results
from benchmarks.speed_results import CaseResult, SideResult
from benchmarks.svg_bars import Bar, bar_chart

_LIMITS = {"limit-each-": "limit, every use read", "limit-once-": "limit, each byte read once"}
_NAMES = {
    "distexpand-checked": "distexpand, load proven",
    "mergekit-lazy": "mergekit --lazy-unpickle",
    "mergekit-async": "mergekit --async-write",
    "llama-pro": "LLaMA-Factory llama_pro",
    "cp-source": "cp -r of the source",
    "cp-output": "cp -r of the output",
}
_COLOURS = {"distexpand": "#0072b2", "cp": "#009e73", "limit": "#999999"}
_OTHER_COLOUR = "#d55e00"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", type=Path, help="JSON of local_speed")
    parser.add_argument("plot", type=Path, help="SVG to write")
    arguments = parser.parse_args()
    arguments.plot.write_text(speed_plot(speed_results.load(arguments.figures)))
    return 0


def speed_plot(cases: list[CaseResult]) -> str:
    """Return the plot of all cases, one below the other."""
    rounds = max(len(side.runs) for case in cases for side in case.sides)
    title = f"Seconds until the output is on the disk (median, least and most of {rounds})"
    return bar_chart(title, " s", {_heading(case): list(_bars(case)) for case in cases})


def _heading(case: CaseResult) -> str:
    used, made = case.read_once_bytes / 1e9, case.output_bytes / 1e9
    before, after = case.layers
    return f"{case.name}: {case.shape}, {before} to {after} layers, {made:.1f} GB out of {used:.1f} GB"


def _bars(case: CaseResult) -> Iterator[Bar]:
    for side in case.sides:
        if side.runs and not side.name.startswith("limit-"):
            yield _bar(side, _NAMES.get(side.name, side.name))
    for beginning, name in _LIMITS.items():
        fastest = case.fastest(beginning)
        if fastest is not None:
            yield _bar(fastest, name)


def _bar(side: SideResult, name: str) -> Bar:
    median, least, most = side.seconds
    return Bar(
        name=name,
        median=median,
        least=least,
        most=most,
        label=f"{median:.1f} s",
        colour=_COLOURS.get(side.name.partition("-")[0], _OTHER_COLOUR),
    )


if __name__ == "__main__":
    sys.exit(main())
