import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.report.sizes import (
    bytes_text,
    count_text,
    duration_text,
    plural,
    rate_text,
    remaining_text,
    share_text,
)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (999_999, "1.00 MB"),
        (13_449_999, "13.4 MB"),
        (99_950_000, "100 MB"),
        (5_000_000_000, "5.00 GB"),
        (235_500_000_000, "236 GB"),
    ],
)
def test_bytes(count, text):
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (134_515_008, "134.5M"),
        (999_960_000, "1B"),
        (8_030_261_248, "8.03B"),
        (10_731_524_096, "10.7B"),
        (70_000_000_000, "70B"),
        (117_749_243_904, "117.7B"),
        (118_000_000_000, "118B"),
        (1_020_000_000_000, "1.02T"),
    ],
)
def test_parameters(count, text):
    assert count_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.9, "1 h 00 min"),
        (3720, "1 h 02 min"),
        (183_600, "2 d 03 h"),
    ],
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text


def test_other_figures():
    assert rate_text(412_000_000) == "412 MB/s"
    assert [remaining_text(n) for n in (0.3, 9.4, 9.6, 185)] == [
        "0 s left",
        "9 s left",
        "10 s left",
        "3 min 05 s left",
    ]
    assert plural(1, "layer") == "1 layer"
    assert plural(1200, "layer") == "1,200 layers"
    assert share_text(0, 10) == "0%"
    assert share_text(0, 0) == "0%"
    assert share_text(1, 10**6) == "<1%"
    assert share_text(10**6 - 1, 10**6) == "99%"
    assert share_text(7, 7) == "100%"


@given(st.integers(0, 10**20))
def test_figures_stay_short_and_near(count):
    number, unit = bytes_text(count).split()
    assert len(number) <= 4
    value = float(number) * 1000 ** ["B", "kB", "MB", "GB", "TB", "PB", "EB"].index(unit)
    assert abs(value - count) <= 0.006 * count
    assert len(count_text(count)) <= 11
