from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import speed_results
from benchmarks.speed_cases import new_blocks
from benchmarks.speed_plot import speed_plot
from benchmarks.speed_report import print_case
from benchmarks.speed_results import CaseResult, Run, SideResult
from benchmarks.svg_bars import ticks


def _side(name: str, *seconds: float, problem: str = "") -> SideResult:
    runs = tuple(
        Run(
            seconds=second,
            processor_seconds=1,
            peak_bytes=10**8,
            read_bytes=10**9,
            written_bytes=10**9,
            output_bytes=10**9,
        )
        for second in seconds
    )
    return SideResult(name=name, runs=runs, problem=problem)


CASE = CaseResult(
    name="map",
    shape="mistral-7b",
    layers=(4, 6),
    read_each_bytes=3 * 10**9,
    read_once_bytes=2 * 10**9,
    data_bytes=3 * 10**9,
    output_bytes=3 * 10**9,
    sides=(
        _side("distexpand", 3, 2, 4),
        _side("mergekit", 12, 18, 14),
        _side("llama-pro", problem="not <given>"),
        _side("limit-each-direct-4", 2.5, 2, 3),
        _side("limit-each-mixed-4", 2, 1, 3),
    ),
)


def test_results_are_kept_as_json(tmp_path: Path):
    speed_results.save(tmp_path / "speed.json", [CASE])
    assert speed_results.load(tmp_path / "speed.json") == [CASE]


def test_ratios_are_to_the_fastest_side_of_a_kind(capsys: pytest.CaptureFixture[str]):
    print_case(CASE)
    shown = capsys.readouterr().out
    assert "| the limit, every use read | limit-each-mixed-4 | 2.00 | 1.50 | 0.67 |" in shown
    assert "| mergekit | mergekit | 14.00 | 0.21 | 4.67 |" in shown
    assert "- llama-pro: not <given>" in shown
    assert "byte read once |" not in shown


def test_the_plot_is_svg_with_a_bar_for_each_side_that_ran():
    root = ET.fromstring(speed_plot([CASE]))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"distexpand", "mergekit", "limit, every use read", "14.0 s"} <= set(texts)
    assert "LLaMA-Factory llama_pro" not in texts
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == 1 + 3


@pytest.mark.parametrize("end", [0.07, 1, 9.9, 30.7, 60, 61, 250])
def test_scales_have_a_few_round_numbers(end: float):
    found = ticks(end)
    assert 4 <= len(found) <= 7
    assert found[0] == 0
    assert end / 2 < found[-1] <= end * 1.000001


@pytest.mark.parametrize(("layers", "blocks"), [(32, 8), (22, 2), (4, 1), (3, 1)])
def test_new_blocks_divide_the_layers(layers: int, blocks: int):
    assert new_blocks(layers) == blocks
