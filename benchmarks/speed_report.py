"""The tables of `local_speed`."""

from collections.abc import Iterator

from benchmarks import measure
from benchmarks.speed_results import CaseResult, SideResult

_RIVALS = {
    "the limit, every use read": ("limit-each-",),
    "the limit, each byte read once": ("limit-once-",),
    "mergekit": ("mergekit",),
    "LLaMA-Factory's llama_pro": ("llama-pro",),
    "cp of the source": ("cp-source",),
    "cp of the output": ("cp-output",),
}
"""What distexpand is compared with: the fastest of the sides whose names begin so."""


def print_case(case: CaseResult) -> None:
    """Print what the case is, every side, and how distexpand compares."""
    before, after = case.layers
    each, once, data, size = (
        measure.gigabytes(count)
        for count in (case.read_each_bytes, case.read_once_bytes, case.data_bytes, case.output_bytes)
    )
    print(f"### {case.name}: {case.shape}, {before} to {after} layers\n")
    print(
        f"Read: {each} if every use is read, {once} if each byte is read once. Written: {data} of {size}.\n"
    )
    headings = ["side", "s", "min", "max", "CPU s", "peak", "read", "written", "output", "MB/s moved"]
    measure.print_table(headings, [_side_row(side) for side in case.sides if side.runs])
    ratios = list(_ratio_rows(case))
    if ratios:
        headings = ["distexpand against", "the fastest", "s", "s / its s", "MB/s moved / its MB/s moved"]
        measure.print_table(headings, ratios)
    for side in case.sides:
        if side.problem:
            print(f"- {side.name}: {side.problem}")
    print(flush=True)


def _side_row(side: SideResult) -> list[str]:
    return [
        side.name,
        *(f"{seconds:.2f}" for seconds in side.seconds),
        f"{side.median('processor_seconds'):.2f}",
        measure.megabytes(max(run.peak_bytes for run in side.runs)),
        *(
            measure.gigabytes(int(side.median(figure)))
            for figure in ("read_bytes", "written_bytes", "output_bytes")
        ),
        f"{side.moved_rate / 1e6:.0f}",
    ]


def _ratio_rows(case: CaseResult) -> Iterator[list[str]]:
    ours = next((side for side in case.sides if side.name == "distexpand" and side.runs), None)
    if ours is None:
        return
    for words, beginnings in _RIVALS.items():
        rival = case.fastest(*beginnings)
        if rival is not None:
            seconds = rival.median("seconds")
            ratio, rate = ours.median("seconds") / seconds, ours.moved_rate / rival.moved_rate
            yield [words, rival.name, f"{seconds:.2f}", f"{ratio:.2f}", f"{rate:.2f}"]
