"""Reading a log over connections that break: every line once, in order, and an end in every case."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.errors import StorageError
from distexpand.jobs import logs
from distexpand.jobs.client import Job
from distexpand.jobs.connection import ClusterAwayError
from distexpand.jobs.logs import log_lines
from distexpand.jobs.request import submission_id

NAME = submission_id("0123456789abcdef", 1)


@dataclass
class Entry:
    """A job as Ray's client returns it."""

    status: str
    submission_id: str = NAME
    message: str = "waiting"
    metadata: None = None
    runtime_env: None = None
    start_time: int = 1
    end_time: int = 0
    driver_exit_code: None = None
    driver_node_id: str = ""


class Log:
    """Stands in for Ray's client: sends a log from its beginning, and breaks off after so many characters."""

    address = "http://head:8265"

    def __init__(self, text: str, breaks: list[int], *, chunk: int, info: list[str] | None = None) -> None:
        self.text, self.breaks, self.chunk = text, breaks, chunk
        self.info = info or []
        self.connections = self.looks = 0

    async def tail_job_logs(self, _name: str) -> AsyncIterator[str]:
        self.connections += 1
        end = self.breaks.pop(0) if self.breaks else None
        for start in range(0, len(self.text[:end]), self.chunk):
            yield self.text[:end][start : start + self.chunk]
        if end is not None:
            raise RuntimeError("WebSocket connection closed unexpectedly with close code 1006")

    def get_job_logs(self, _name: str) -> str:
        self.looks += 1
        end = self.breaks.pop(0) if self.breaks else None
        if end is None or self.looks % 2:
            return self.text[:end]
        raise ConnectionError("no route")

    def get_job_info(self, _name: str) -> Entry:
        status = self.info.pop(0) if self.info else ("RUNNING" if self.breaks else "SUCCEEDED")
        if status == "away":
            raise ConnectionError("no route")
        if status == "unknown":
            raise RuntimeError("Request failed with status code 404: Job does not exist.")
        return Entry(status=status)


def read(log: Log, *, patience: float = 5, told: list[Job] | None = None) -> list[str]:
    async def collect() -> list[str]:
        sink: Any = told.append if told is not None else lambda _job: None
        return [line async for line in log_lines(log, NAME, told=sink, patience=patience)]

    return asyncio.run(collect())


@pytest.fixture(autouse=True, params=[0, 10, 2**16])
def hurry(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Asks often, and takes logs from so many characters on for ones that have to be streamed."""
    monkeypatch.setattr(logs, "_SMALL", request.param)
    monkeypatch.setattr(logs, "_BETWEEN_TRIES", 0.001)
    monkeypatch.setattr(logs, "_BETWEEN_LOOKS", 0.001)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_characters="\n\r"), max_size=12), max_size=20),
    st.lists(st.integers(0, 200), max_size=5),
    st.integers(1, 40),
    st.booleans(),
)
def test_every_line_comes_once(lines: list[str], breaks: list[int], chunk: int, ended: bool) -> None:
    text = "\n".join(lines) + ("\n" if ended and lines else "")
    log = Log(text, sorted(min(place, len(text)) for place in breaks), chunk=chunk)
    assert read(log) == (text.removesuffix("\n").split("\n") if text else [])
    if not logs._SMALL:
        assert log.connections == len(breaks) + 1


def test_a_cluster_that_stays_away_is_lost_in_bounded_time() -> None:
    log = Log("one\n", [4] * 10_000, chunk=9, info=["away"] * 10_000)
    began = time.monotonic()
    with pytest.raises(ClusterAwayError, match="hasn't answered for") as raised:
        read(log, patience=0.3)
    assert time.monotonic() - began < 5
    assert "Submit the same again" in raised.value.hint


def test_a_cluster_that_comes_back_in_time_is_followed_on() -> None:
    log = Log("one\ntwo\n", [4, 4, 4], chunk=9, info=["away", "away", "RUNNING"])
    assert read(log) == ["one", "two"]


def test_a_head_started_anew_has_forgotten_the_job() -> None:
    with pytest.raises(StorageError, match="no longer knows distexpand-0123456789abcdef-1"):
        read(Log("one\n", [4], chunk=9, info=["unknown"]))


def test_a_log_that_can_t_be_read_any_more_ends_with_its_job() -> None:
    log = Log("one\ntwo\n", [4] * 100, chunk=9, info=["FAILED"] * 100)
    assert read(log) == ["one"]
    assert log.connections < 10


def test_a_silent_log_lets_the_job_s_state_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_SILENCE", 0.05)

    began = time.monotonic()

    class Silent(Log):
        def get_job_logs(self, name: str) -> str:
            return super().get_job_logs(name) if self.speaks() else ""

        async def tail_job_logs(self, name: str) -> AsyncIterator[str]:
            await asyncio.sleep(0.5)
            async for text in super().tail_job_logs(name):
                yield text

        def get_job_info(self, name: str) -> Entry:
            return super().get_job_info(name) if self.speaks() else Entry(status="PENDING")

        def speaks(self) -> bool:
            return time.monotonic() - began > 0.4

    told: list[Job] = []
    assert read(Silent("one\n", [], chunk=9), told=told) == ["one"]
    assert [job.status for job in told[:2]] == ["PENDING", "PENDING"]


def test_the_driver_s_log_follows_what_the_head_said_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_SMALL", 2**16)

    class Elsewhere(Log):
        def get_job_logs(self, name: str) -> str:
            return super().get_job_logs(name) if self.looks else self._said_by_the_head()

        def _said_by_the_head(self) -> str:
            self.looks += 1
            return "the environment is being set up\n"

        def get_job_info(self, name: str) -> Entry:
            return super().get_job_info(name) if self.looks else Entry(status="RUNNING")

    lines = read(Elsewhere("one\ntwo\n", [], chunk=9))
    assert lines[-2:] == ["one", "two"]
