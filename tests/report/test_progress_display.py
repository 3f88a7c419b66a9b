import contextlib
import io
import itertools
import sys
import threading
from pathlib import Path

from distexpand.report.progress import LineProgress, NoProgress, progress_display
from distexpand.report.progress_live import LiveProgress

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
