"""A job's log: every event but progress, progress ever less often, lines that read back."""

import subprocess
import sys

from distexpand.cluster.events import Event, Noted, Progressed, RunBegan, ShardDone, decode_event
from distexpand.jobs.event_log import EventLog, read_line
from tests.support.ray_cluster import ROOT

BEGAN = RunBegan(output="/out", plan="d", total_bytes=1000, done_bytes=10, shards=4, shards_done=1)


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def logged(seconds: int) -> tuple[list[Event], list[float]]:
    """Log progress every second, and return what was written and when."""
    lines: list[bytes] = []
    clock = Clock()
    log = EventLog("r", write=lines.append, clock=clock)
    log(BEGAN)
    times = []
    for second in range(seconds):
        clock.now += 1
        before = len(lines)
        log(Progressed(done_bytes=second, workers=()))
        if len(lines) > before:
            times.append(clock.now - 50)
    events = [decode_event(line.decode().rstrip("\n")) for line in lines]
    assert None not in events
    return [event for event in events if event is not None], times


def test_progress_is_told_every_second_at_first_and_every_five_later() -> None:
    events, times = logged(20_000)
    assert times[:60] == [float(second) for second in range(1, 61)]
    assert times[-1] - times[-2] == 5
    assert len(times) < 4200
    assert events[0] == BEGAN


def test_progress_carries_what_is_to_be_done_in_all() -> None:
    events, _ = logged(3)
    assert [event.total_bytes for event in events if isinstance(event, Progressed)] == [1000] * 3


def test_nothing_but_progress_is_left_out() -> None:
    lines: list[bytes] = []
    log = EventLog("r", write=lines.append, clock=Clock())
    done = ShardDone(shard="s", attempt="a", node="n", size=1, seconds=0.5)
    for _ in range(100):
        log(done)
        log(Noted(message='one\nline, \u2014 {"event":'))
        log(Progressed(done_bytes=1, workers=()))
    events = [decode_event(line.decode().rstrip("\n")) for line in lines]
    assert len(events) == 200
    assert events[0] == done
    assert events[1] == Noted(message='one\nline, \u2014 {"event":')


def test_threads_and_prints_leave_lines_whole() -> None:
    program = """
import threading
from distexpand.cluster.events import AttemptLost
from distexpand.jobs.event_log import EventLog
log = EventLog("r")
def work():
    for _ in range(200):
        log(AttemptLost(shard="s", attempt="a", node="n", reason="r" * 2000, retry=True))
        print("another line")
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    read = [read_line(line) for line in done.stdout.splitlines()]
    assert sum(event is not None for _, event in read) == 800
    assert sum(other.count("another line") for other, _ in read) == 800
    assert {other.replace("another line", "") for other, _ in read} == {""}
