import contextlib
import io
import itertools
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from distexpand.pauses import Retry
from distexpand.report.watching.display import LineProgress, NoProgress, progress_display
from distexpand.report.watching.live import LiveProgress, overall_picture
from distexpand.report.watching.state import Figures, ProgressState
from distexpand.report.watching.words import line_words

BLOCK = 16 * 2**20


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(blocks, seconds_per_block):
    stream, clock = io.StringIO(), Clock()
    progress = LineProgress(stream, clock=clock)
    progress.start(total_bytes=blocks * BLOCK, done_bytes=0, shards=4, shards_done=0)
    times = []
    for _ in range(blocks):
        clock.now += seconds_per_block
        before = stream.tell()
        progress.advance(BLOCK)
        if stream.tell() > before:
            times.append(clock.now)
    for name in "abcd":
        progress.shard_done(name)
    progress.stop()
    return stream.getvalue().splitlines(), times


def test_a_short_run_has_one_line():
    lines, _ = run(100, 0.05)
    assert lines == ["100%  1.68 GB of 1.68 GB  336 MB/s  4 of 4 shards  in 5.0 s"]


def test_lines_keep_their_distance():
    lines, times = run(1000, 0.2)
    assert 2 <= len(lines) <= 12
    assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(times))


def test_a_long_run_is_heard_of_every_minute():
    _, times = run(1000, 10.0)
    assert all(later - earlier <= 70 for earlier, later in itertools.pairwise(times))


def test_a_resumed_run_counts_its_own_bytes_for_the_rate():
    stream, clock = io.StringIO(), Clock()
    progress = LineProgress(stream, clock=clock)
    progress.start(total_bytes=1_000_000_000, done_bytes=900_000_000, shards=10, shards_done=9)
    clock.now += 2
    progress.advance(50_000_000)
    progress.stop()
    assert stream.getvalue() == "95%  950 MB of 1.00 GB  25.0 MB/s  9 of 10 shards  ended after 2.0 s\n"


def test_a_run_that_never_began_says_nothing():
    stream = io.StringIO()
    LineProgress(stream).stop()
    assert stream.getvalue() == ""


def test_threads_lose_no_block():
    for progress in (LineProgress(stream := io.StringIO()), LiveProgress(live := Terminal())):
        progress.start(total_bytes=8 * 500 * BLOCK, done_bytes=0, shards=8, shards_done=0)

        def work(progress=progress):
            for _ in range(500):
                progress.advance(BLOCK)
            progress.shard_done("x")

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        progress.stop()
    assert stream.getvalue().startswith("100%  67.1 GB of 67.1 GB")
    last = live.getvalue()
    assert "100%" in last
    assert "67.1 GB of 67.1 GB" in last
    assert "8 of 8 shards" in last


def test_standard_output_is_left_alone():
    progress = LiveProgress(Terminal())
    before = sys.stdout
    progress.start(total_bytes=10, done_bytes=0, shards=1, shards_done=0)
    assert sys.stdout is before
    progress.stop()


def test_the_display_suits_the_stream():
    assert isinstance(progress_display(quiet=True, stream=Terminal()), NoProgress)
    assert isinstance(progress_display(quiet=False, stream=io.StringIO()), LineProgress)
    assert isinstance(progress_display(quiet=False, stream=Terminal()), LiveProgress)
    assert isinstance(progress_display(quiet=True), NoProgress)


def test_a_closed_or_full_stream_costs_lines_only(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert isinstance(progress_display(quiet=False), NoProgress)
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        progress = LineProgress(full)
        progress.start(total_bytes=10, done_bytes=0, shards=1, shards_done=0)
        progress.stop()
        monkeypatch.setattr(LineProgress, "_write_line", lambda *_: None)
        with contextlib.suppress(OSError):
            full.close()


def drawn(figures: Figures, width: int) -> list[str]:
    console = Console(file=(stream := Terminal()), width=width, force_terminal=True, color_system=None)
    console.print(overall_picture(figures))
    return stream.getvalue().splitlines()


@given(
    width=st.integers(40, 200),
    total=st.integers(0, 10**15),
    share=st.floats(0, 1),
    shards=st.integers(1, 10**4),
    rates=st.tuples(*[st.none() | st.floats(0, 1e11)] * 3),
    silent=st.none() | st.floats(10, 1e6),
    retries=st.integers(0, 10**5),
    over=st.booleans(),
)
def test_a_terminal_never_has_more_than_two_lines_to_draw(
    *, width, total, share, shards, rates, silent, retries, over
):
    figures = Figures(
        total_bytes=total,
        done_bytes=int(total * share),
        shards=shards,
        shards_done=int(shards * share),
        under_way=("model-00007-of-00009.safetensors", "a" * 90),
        seconds=100.0,
        now=rates[0],
        average=rates[1],
        seconds_left=rates[2],
        silent=silent,
        retries=retries,
        reason="the server answers 503",
        over=over,
    )
    lines = drawn(figures, width)
    assert len(lines) == 2
    assert all(cell_len(line) <= width for line in lines)
    assert line_words(figures).count("\n") == 0


def test_the_rate_now_is_of_the_last_seconds_and_the_average_of_all():
    clock = Clock()
    state = ProgressState(clock)
    state.start(total_bytes=10_000, done_bytes=1_000, shards=2, shards_done=0)
    state.shard_begun("model-00001-of-00002.safetensors")
    for _ in range(60):
        clock.now += 1
        state.advance(100)
    for _ in range(40):
        clock.now += 1
        state.advance(10)
    figures = state.figures()
    assert figures.done_bytes == 7_400
    assert figures.now == pytest.approx(10)
    assert figures.average == pytest.approx(64)
    assert figures.seconds_left == pytest.approx(2_600 / ((20 * 100 + 40 * 10) / 60))
    assert "10 B/s now, 64 B/s on average  0 of 2 shards, now 1" in line_words(figures)
    clock.now += 42
    silent = state.figures()
    assert silent.now == 0
    assert "nothing for 42 s" in line_words(silent)


@given(steps=st.lists(st.tuples(st.floats(0, 30), st.integers(0, 10**9)), min_size=1, max_size=200))
def test_no_rate_is_more_than_what_was_ever_measured(steps):
    clock = Clock()
    state = ProgressState(clock)
    state.start(total_bytes=10**15, done_bytes=0, shards=1, shards_done=0)
    for seconds, nbytes in steps:
        clock.now += seconds
        state.advance(nbytes)
    figures = state.figures()
    done = sum(nbytes for _, nbytes in steps)
    assert figures.done_bytes == done
    assert figures.now is None or 0 <= figures.now <= done / 0.25
    if figures.average is not None:
        assert figures.average == pytest.approx(done / (clock.now - 1000.0))


def test_retries_are_counted_and_a_run_that_stands_still_for_them_is_heard_of():
    stream, clock = io.StringIO(), Clock()
    progress = LineProgress(stream, clock=clock)
    progress.start(total_bytes=1_000, done_bytes=0, shards=1, shards_done=0)
    for _ in range(3):
        clock.now += 6
        progress.retried(Retry(place="s3://b/x", reason="the server hangs", seconds=6.0))
    [line] = stream.getvalue().splitlines()
    assert "nothing for 12 s" in line
    assert line.endswith("2 retries (the server hangs)")
    progress.note("a note")
    progress.stop()
    assert stream.getvalue().splitlines()[1:] == [
        "a note",
        "0%  0 B of 1.00 kB  0 B/s  0 of 1 shard  3 retries  ended after 18 s",
    ]
