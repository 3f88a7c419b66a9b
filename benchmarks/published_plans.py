"""Planning published models: seconds for each of the expansions that `tests/published` has.

The sources are the models' real shapes and configs, as headers whose data is a hole. Each
time is that of a fresh `distexpand plan`, by the clock and of the processor.

    python -m benchmarks.published_plans
"""

import sys
from pathlib import Path

from benchmarks import measure
from tests.published.test_expansions import CASES, Case
from tests.support.published import published
from tests.support.published_model import write_headers

LIMIT_SECONDS = 10


def main() -> int:
    arguments = measure.argument_parser(__doc__ or "").parse_args()
    rows, slowest = [], 0.0
    with measure.work_directory(arguments.work) as work:
        for case in sorted(CASES, key=str):
            tensors, run = _planned(case, work)
            slowest = max(slowest, run.processor_seconds)
            peak = measure.megabytes(run.peak_bytes)
            rows.append(
                [case, f"{tensors:,}", f"{run.seconds:.2f}", f"{run.processor_seconds:.2f}", peak],
            )
        measure.print_heading(f"Planning {len(rows)} expansions of published models", work)
    measure.print_table(["expansion", "tensors of the source", "s", "CPU s", "peak memory"], rows)
    if slowest >= LIMIT_SECONDS:
        sys.stderr.write(f"the goal is {LIMIT_SECONDS} s of the processor for each\n")
        return 1
    return 0


def _planned(case: Case, work: Path) -> tuple[int, measure.Measured]:
    """Plan an expansion of the whole model; the source is written once."""
    model, source = published(case.model), work / case.model
    if not source.exists():
        write_headers(source, model)
    recipe = work / f"{str(case).replace(':', '-')}.yml"
    recipe.write_text(f"{{model: source, layer_map: {[list(pair) for pair in case.ranges]}}}\n")
    run = measure.run_distexpand("plan", recipe, "--model", f"source={source}")
    return sum(1 for _ in model.tensors(model.config)), run


if __name__ == "__main__":
    sys.exit(main())
