"""Planning a checkpoint of 300,000 tensors: how long it takes, and how much memory.

The source is Kimi-K2's shape with 832 experts in each layer instead of 384, in FP8 with a
scale beside each weight, as headers whose data is a hole. The recipe uses two layers
twice. Each time is that of a fresh `distexpand plan`; the table shows the median.

    python -m benchmarks.many_tensors
"""

import statistics
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks import measure
from tests.support.published import published
from tests.support.published_model import write_headers

EXPERTS = 832
RECIPE = "{model: source, layer_map: [[0, 32], [30, 61]]}\n"
LIMIT_SECONDS = 10
LIMIT_BYTES = 1_500_000_000


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--runs", type=int, default=3, help="how often to plan")
    arguments = parser.parse_args()
    with measure.work_directory(arguments.work) as work:
        source, tensors = _source(work)
        recipe = work / "recipe.yml"
        recipe.write_text(RECIPE)
        runs = [
            measure.run_distexpand("plan", recipe, "--model", f"source={source}")
            for _ in range(arguments.runs)
        ]
        measure.print_heading(f"Planning over {tensors:,} tensors", work)
    seconds = statistics.median(run.seconds for run in runs)
    processor = statistics.median(run.processor_seconds for run in runs)
    peak = max(run.peak_bytes for run in runs)
    row = [f"{tensors:,}", f"{seconds:.1f}", f"{processor:.1f}", measure.megabytes(peak)]
    measure.print_table(["tensors", "s", "CPU s", "peak memory"], [row])
    within = processor < LIMIT_SECONDS and peak < LIMIT_BYTES
    if not within:
        sys.stderr.write(f"the goal is {LIMIT_SECONDS} s and {measure.megabytes(LIMIT_BYTES)}\n")
    return 0 if within else 1


def _source(work: Path) -> tuple[Path, int]:
    """Write the source; return it and how many tensors it has."""
    model = published("kimi-k2")
    wide = replace(model, config={**model.config, "n_routed_experts": EXPERTS})
    tensors = sum(1 for _ in wide.tensors(wide.config))
    return write_headers(work / "source", wide), tensors


if __name__ == "__main__":
    sys.exit(main())
