"""Rates and storages as people write them, and what is said to those who write them otherwise."""

import math

import pytest

from distexpand.errors import UsageError
from distexpand.planning.cost.rates import STORAGES, parse_rate, parse_storage


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("25Gbps", 3.125e9),
        ("25 gbps", 3.125e9),
        ("100MB/s", 1e8),
        ("1.5 GiB/s", 1.5 * 2**30),
        ("8bit/s", 1),
        ("800kbps", 1e5),
    ],
)
def test_rates(text: str, rate: float) -> None:
    assert parse_rate(text, option="--network") == rate


@pytest.mark.parametrize(
    "text", ["", "25", "25G", "Gbps", "-1Gbps", "25 parsecs", "0Gbps", "1e9B/s", "nan B/s", "9999999TB/s"]
)
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(UsageError, match="--network") as caught:
        parse_rate(text, option="--network")
    assert "25Gbps" in caught.value.hint


def test_kinds_and_figures() -> None:
    assert parse_storage("s3") is not None
    assert parse_storage("s3").gets == 5500
    assert parse_storage("s3,gets=11000").gets == 11000
    found = parse_storage("read=10GB/s, write=5GB/s, requests=3500")
    assert (found.read, found.write, found.gets, found.puts) == (1e10, 5e9, 3500, 3500)
    assert found.stream == math.inf
    assert parse_storage("lustre") == STORAGES["lustre"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("floppy", "unknown kind"),
        ("s3,nfs", "isn't a figure"),
        ("read=10", "not a rate"),
        ("speed=10GB/s", "isn't a figure"),
        ("read=1GB/s,read=2GB/s", "twice"),
        ("requests=1,gets=2", "twice"),
        ("requests=many", "requests a second"),
        ("requests=-1", "requests a second"),
        ("requests=nan", "requests a second"),
        ("read=10GB/s,", "isn't a figure"),
    ],
)
def test_what_is_no_storage(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        parse_storage(text)
    assert "--storage" in caught.value.message


def test_every_kind_says_what_it_assumes() -> None:
    for name, storage in STORAGES.items():
        assert storage.name == name
        assert storage.read > 0
        assert storage.write > 0
