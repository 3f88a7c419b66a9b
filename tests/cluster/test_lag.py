"""When a second attempt is worth its bytes: silence, and lagging far behind the peers."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from distexpand.cluster.lag import (
    ENOUGH_SAMPLES,
    LAG_FACTOR,
    LAG_SECONDS,
    SILENT_SECONDS,
    STALLED_SECONDS,
    Pace,
    why_double,
)

_SIZE = 1000
_USUAL = [0.02] * ENOUGH_SAMPLES
"""Peers that took 20 s for so many bytes."""


def _pace(
    elapsed: float,
    done: int,
    *,
    silence: float = 0.5,
    stalled: float = 0.5,
    begun: bool = True,
    size: int = _SIZE,
) -> Pace:
    return Pace(elapsed=elapsed, silence=silence, stalled=stalled, begun=begun, done_bytes=done, size=size)


def test_silence_is_reason_enough() -> None:
    assert why_double(_pace(25, 900, silence=SILENT_SECONDS + 1), []) == "silent for 21 s"
    assert not why_double(_pace(25, 900, silence=SILENT_SECONDS - 1), [])


def test_one_that_waits_for_processors_is_given_more_time() -> None:
    assert not why_double(_pace(50, 0, silence=50, begun=False), [])
    assert why_double(_pace(61, 0, silence=61, begun=False), []) == "not begun for 61 s"


def test_one_whose_mount_hangs_is_doubled_though_it_speaks() -> None:
    assert not why_double(_pace(300, 500, stalled=STALLED_SECONDS - 1), [])
    assert why_double(_pace(300, 500, stalled=121), []) == "no byte further for 121 s"
    assert why_double(_pace(300, 1000, stalled=121), _USUAL) == "no byte further for 121 s"
    assert not why_double(_pace(500, 1000, stalled=200), [0.1])  # a shard takes 100 s here


def test_one_that_takes_three_times_as_long_as_its_peers_is_doubled() -> None:
    assert why_double(_pace(61, 100), _USUAL) == "61 s where its peers took 20 s"
    assert not why_double(_pace(59, 100), _USUAL)


def test_one_that_is_nearly_done_is_left_alone() -> None:
    assert not why_double(_pace(61, 900), _USUAL)  # 7 s are left, a new attempt takes 20


def test_nothing_is_doubled_before_it_is_known_what_is_usual() -> None:
    assert not why_double(_pace(500, 0), _USUAL[:-1])


def test_a_short_attempt_is_never_doubled_for_lagging() -> None:
    assert not why_double(_pace(LAG_SECONDS - 1, 0), [1e-9] * 10)


def test_one_slow_peer_doesnt_make_slowness_usual() -> None:
    assert why_double(_pace(100, 10), [0.02, 0.02, 0.02, 50.0])


@given(
    elapsed=st.floats(0, 1e5),
    silence=st.floats(0, SILENT_SECONDS),
    size=st.integers(1, 10**11),
    share=st.floats(0, 1),
    usual=st.lists(st.floats(1e-12, 1), max_size=9),
)
def test_whoever_keeps_up_with_the_peers_is_never_doubled(
    elapsed: float, silence: float, size: int, share: float, usual: list[float]
) -> None:
    assume(usual)
    kept_up = elapsed <= LAG_FACTOR * sorted(usual)[(len(usual) - 1) // 2] * size
    reason = why_double(_pace(elapsed, int(share * size), silence=silence, size=size), usual)
    assert not (kept_up and reason)


@pytest.mark.parametrize("done", [0, 1, _SIZE])
def test_any_number_of_bytes_done_can_be_judged(done: int) -> None:
    assert isinstance(why_double(_pace(1000, done), _USUAL), str)
