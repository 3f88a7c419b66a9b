"""A cache of frames: each is made once by however many threads, and only so many are kept."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.storage.archives.frame_cache import FrameCache


def test_threads_that_want_a_frame_wait_for_one_that_makes_it():
    cache, made, together = FrameCache(100), [], threading.Barrier(8)

    def make():
        made.append(threading.get_ident())
        return b"frame"

    def ask(_):
        together.wait()
        return cache.get("key", make)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {b"frame"}
    assert len(made) == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40)), max_size=60))
def test_no_more_bytes_are_kept_than_allowed(asked):
    cache, sizes = FrameCache(100), {}
    for key, size in asked:
        raw = cache.get(key, lambda size=size: bytes(size))
        assert len(raw) == sizes.setdefault(key, size) or key in sizes
        sizes[key] = len(raw)
        kept = {key: frame.result() for key, frame in cache._frames.items()}
        assert cache._bytes == sum(map(len, kept.values())) <= 100


def test_what_was_asked_for_last_is_kept():
    cache, made = FrameCache(20), []

    def ask(key):
        cache.get(key, lambda: made.append(key) or bytes(10))

    for key in "abab" + "cb" + "a":
        ask(key)
    assert made == ["a", "b", "c", "a"]


def test_a_failure_reaches_everybody_and_is_not_kept():
    cache, together = FrameCache(100), threading.Barrier(4)

    def fail():
        raise ValueError("damaged")

    def ask(_):
        together.wait()
        with pytest.raises(ValueError, match="damaged"):
            cache.get("key", fail)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    assert cache.get("key", lambda: b"whole now") == b"whole now"


def test_frames_of_an_owner_are_dropped():
    cache = FrameCache(100)
    for owner in "ab":
        cache.get((owner, 1), lambda: b"x")
    cache.drop("a")
    assert cache.get(("a", 1), lambda: b"new") == b"new"
    assert cache.get(("b", 1), lambda: b"new") == b"x"
