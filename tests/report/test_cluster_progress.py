"""What people see of a run on a cluster, on a terminal and in a log."""

import io
import sys

import pytest

from distexpand.cluster.events import (
    AttemptDoubled,
    AttemptLost,
    Event,
    Noted,
    Progressed,
    RunBegan,
    RunEnded,
    ShardDone,
    Worker,
)
from distexpand.report.watching.cluster_progress import (
    LineClusterProgress,
    NoClusterProgress,
    cluster_display,
)
from distexpand.report.watching.cluster_progress_live import LiveClusterProgress

GB = 10**9
BEGAN = RunBegan(output="/out", plan="d", total_bytes=10 * GB, done_bytes=0, shards=10, shards_done=0)
ENDED = RunEnded(exit_code=0, kind="", message="", hint="", seconds=100.0)
LOST = AttemptLost(shard="model-1", attempt="a", node="10.0.0.7", reason="its node is gone", retry=True)
DOUBLED = AttemptDoubled(shard="model-2", attempt="b", node="10.0.0.8", reason="it lags")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def done(shard: int) -> ShardDone:
    return ShardDone(shard=f"model-{shard}", attempt="a", node="n", size=GB, seconds=10.0)


def shown(events: list[tuple[float, Event]]) -> list[str]:
    """Show events on a pipe, each so many seconds after the one before."""
    stream, clock = io.StringIO(), Clock()
    display = LineClusterProgress(stream, clock=clock)
    for seconds, event in events:
        clock.now += seconds
        display.show(event)
    display.stop()
    return stream.getvalue().splitlines()


def progressed(done_bytes: int, *workers: Worker) -> Progressed:
    return Progressed(done_bytes=done_bytes, workers=workers)


def test_a_run_in_lines() -> None:
    steps: list[tuple[float, Event]] = [(0, BEGAN)]
    for second in range(1, 101):
        steps.append((1, progressed(second * GB // 10)))
        if second % 10 == 0:
            steps.append((0, done(second // 10)))
    lines = shown([*steps, (0, ENDED)])
    assert lines[0] == "making /out: 10 shards, 10.0 GB"
    rates = "100 MB/s now, 100 MB/s on average"
    assert lines[1] == f"10%  1.00 GB of 10.0 GB  {rates}  0 of 10 shards  1 min 30 s left"
    assert lines[-1] == "100%  10.0 GB of 10.0 GB  100 MB/s  10 of 10 shards  in 1 min 40 s"
    assert len(lines) == 12


def test_what_needs_an_eye_has_a_line_at_once() -> None:
    notes: list[tuple[float, Event]] = [
        (0, BEGAN),
        (0, LOST),
        (0, DOUBLED),
        (0, Noted(message="3 nodes checked")),
        (0, Noted(message="a short disk", level="warning")),
    ]
    assert shown(notes)[1:5] == [
        "model-1: lost on 10.0.0.7: its node is gone; it is tried again",
        "model-2: begun a second time, on 10.0.0.8: it lags",
        "3 nodes checked",
        "warning: a short disk",
    ]


def test_a_run_that_goes_on_says_what_is_there() -> None:
    resumed = RunBegan(
        output="/out", plan="d", total_bytes=10 * GB, done_bytes=4 * GB, shards=10, shards_done=4
    )
    lines = shown([(0, resumed), (2, progressed(5 * GB))])
    assert lines[0] == "going on with /out: 10 shards, 10.0 GB, of which 4.00 GB are there"
    assert lines[1].startswith("50%  5.00 GB of 10.0 GB  500 MB/s  4 of 10 shards")


def test_bytes_of_a_lost_attempt_are_counted_down() -> None:
    lines = shown([(0, BEGAN), (1, progressed(3 * GB)), (1, progressed(GB))])
    assert lines[-1].startswith("10%  1.00 GB of 10.0 GB")


def test_a_failed_run_isn_t_shown_as_whole() -> None:
    failed = RunEnded(exit_code=1, kind="StorageError", message="m", hint="", seconds=2.0)
    assert shown([(0, BEGAN), (2, progressed(GB)), (0, failed)])[-1].startswith("10%")


def test_who_comes_back_gets_the_past_without_its_lines_and_the_rate_from_then_on() -> None:
    past: list[tuple[float, Event]] = [(0, BEGAN), *((0, progressed(n * GB // 100)) for n in range(500))]
    past += [(0, done(n)) for n in range(4)]
    lines = shown([*past, (1, progressed(5 * GB + GB // 10)), (10, progressed(6 * GB + GB // 10))])
    assert len(lines) == 3
    rates = "100 MB/s now, 101 MB/s on average"
    assert lines[1].startswith(f"61%  6.10 GB of 10.0 GB  {rates}  4 of 10 shards")


def test_a_run_that_was_over_has_one_line_with_its_own_time() -> None:
    past: list[tuple[float, Event]] = [(0, BEGAN), (0, progressed(3 * GB))]
    lines = shown([*past, *((0, done(n)) for n in range(10)), (0, ENDED)])
    assert lines[1:] == ["100%  10.0 GB of 10.0 GB  100 MB/s  10 of 10 shards  in 1 min 40 s"]


def test_other_lines_are_shown_on_request() -> None:
    for verbose in (False, True):
        stream = io.StringIO()
        LineClusterProgress(stream, verbose=verbose).other("a line")
        assert (stream.getvalue() == "a line\n") is verbose


def test_names_can_t_move_the_cursor() -> None:
    evil = AttemptLost(shard="a\x1b[2J", attempt="a", node="n\n", reason="\r", retry=False)
    [line] = [line for line in shown([(0, BEGAN), (0, evil)]) if "lost on" in line]
    assert line == "a?[2J: lost on n?: ?; it is not tried again"


@pytest.mark.parametrize("workers", [2, 100])
def test_a_terminal_shows_all_of_it_and_each_attempt(workers: int) -> None:
    stream = Terminal()
    display = LiveClusterProgress(stream)
    display.show(BEGAN)
    under_way = [
        Worker(
            node=f"10.0.0.{n}", shard=f"model-{n:05}.safetensors", attempt="a", done_bytes=GB // 4, size=GB
        )
        for n in range(workers)
    ]
    display.show(progressed(GB, *under_way))
    display.show(LOST)
    display._live.refresh()
    text = stream.getvalue()
    for words in (
        "10%",
        "1.00 GB of 10.0 GB",
        "0 of 10 shards",
        "10.0.0.0",
        "model-00000.safetensors",
        "25%",
        "of 1.00 GB",
        "lost on 10.0.0.7",
    ):
        assert words in text
    assert ("more" in text) is (workers == 100)
    display.show(done(1))
    display.show(ENDED)
    before = stream.tell()
    display.stop()
    last = stream.getvalue()[before:]
    assert "10.0 GB of 10.0 GB" in last
    assert "1 of 10 shards" in last
    assert "10.0.0.0" not in last


def test_the_display_suits_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(cluster_display(quiet=True, stream=Terminal()), NoClusterProgress)
    assert isinstance(cluster_display(quiet=False, stream=io.StringIO()), LineClusterProgress)
    assert isinstance(cluster_display(quiet=False, stream=Terminal()), LiveClusterProgress)
    monkeypatch.setattr(sys, "stderr", None)
    assert isinstance(cluster_display(quiet=False), NoClusterProgress)


def test_a_job_that_never_began_leaves_no_bar() -> None:
    stream = Terminal()
    display = LiveClusterProgress(stream)
    display.show(ENDED)
    display.stop()
    assert stream.getvalue() == ""
    assert shown([(0, ENDED)]) == []


def test_a_full_log_costs_lines_only() -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    display = LineClusterProgress(Full())
    display.show(LOST)
    display.show(BEGAN)
    display.stop()
