"""Pauses before retries: told, and ended by an interrupt, in every thread that works for a run."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from distexpand.commit.hub.quota import once_allowed
from distexpand.commit.objects.lease import Pace, take
from distexpand.errors import InterruptedRunError
from distexpand.pauses import Retry, pause, pause_to_retry, pausing, thread_pool
from distexpand.storage.address import Address
from distexpand.storage.hub.asking import ask
from distexpand.storage.hub.errors import HubError
from distexpand.storage.objects.files import ObjectFiles
from distexpand.storage.objects.source import ObjectSource
from distexpand.storage.s3.uploads import S3Uploads
from tests.storage.contract import read
from tests.support.fault_proxy import fault_proxy
from tests.support.faults import Fault, Kind
from tests.support.range_server import range_server
from tests.support.seaweedfs import SeaweedFS
from tests.support.store_environment import set_store_environment

LONG = 60.0
SOON = 5.0


def stopped_after(seconds: float) -> threading.Event:
    stop = threading.Event()
    timer = threading.Timer(seconds, stop.set)
    timer.daemon = True
    timer.start()
    return stop


def test_a_pause_ends_with_the_stop_and_at_once_where_that_was_before() -> None:
    began = time.monotonic()
    with pausing(stop=stopped_after(0.2)), pytest.raises(InterruptedRunError, match="interrupted"):
        pause(LONG)
    stop = threading.Event()
    stop.set()
    with pausing(stop=stop), pytest.raises(InterruptedRunError):
        pause(0)
    assert time.monotonic() - began < SOON


def test_without_anyone_who_could_stop_it_a_pause_is_a_pause() -> None:
    began = time.monotonic()
    pause(0.2)
    assert 0.2 <= time.monotonic() - began < SOON


def test_runs_in_one_process_are_told_of_their_own_retries_only() -> None:
    def work(name: str) -> list[str]:
        heard: list[str] = []
        with pausing(told=lambda retry: heard.append(retry.place)), thread_pool(3) as pool:
            retries = [Retry(place=f"{name}{n}", reason="it broke", seconds=0.0) for n in range(50)]
            list(pool.map(pause_to_retry, retries))
        pause_to_retry(Retry(place="nobody's", reason="", seconds=0.0))
        return heard

    with ThreadPoolExecutor(2) as runs:
        one, other = runs.map(work, "ab")
    assert sorted(one) == sorted(f"a{n}" for n in range(50))
    assert sorted(other) == sorted(f"b{n}" for n in range(50))


def test_what_is_within_keeps_who_listens_outside() -> None:
    heard: list[Retry] = []
    stop = threading.Event()
    with pausing(told=heard.append), pausing(stop=stop):
        pause_to_retry(Retry(place="p", reason="r", seconds=0.0))
        stop.set()
        with pytest.raises(InterruptedRunError):
            pause_to_retry(Retry(place="q", reason="r", seconds=0.0))
    assert [retry.place for retry in heard] == ["p", "q"]


def test_a_reader_that_is_asked_to_come_back_later(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore", reason="needs pip install 'distexpand[stores]'")
    set_store_environment(monkeypatch, {})
    heard: list[Retry] = []
    busy = Fault(kind=Kind.STATUS, status=503, seconds=LONG)
    with range_server() as server, fault_proxy(server.endpoint, lambda _: busy) as proxy:
        server.put("model/file", b"content")
        source = ObjectSource(Address(scheme="http", root=proxy.endpoint.partition("//")[2], path="model"))
        began = time.monotonic()
        with pausing(stop=stopped_after(0.5), told=heard.append), pytest.raises(InterruptedRunError):
            read(source.open("file"), 0, 7)
        assert time.monotonic() - began < SOON
        assert [retry.seconds >= LONG for retry in heard] == [True]
        assert heard[0].place.endswith("/model/file")
        assert heard[0].reason


def test_the_hub_s_quota_is_not_waited_for_after_an_interrupt() -> None:
    def refused() -> None:
        error = HubError("hf://a/b: too many")
        error.status = 429
        raise error

    said: list[str] = []
    began = time.monotonic()
    with pausing(stop=stopped_after(0.3)), pytest.raises(InterruptedRunError):
        once_allowed(refused, said.append)
    assert time.monotonic() - began < SOON
    assert len(said) == 1


def test_a_hub_that_is_away_is_not_asked_again_after_an_interrupt() -> None:
    pytest.importorskip("huggingface_hub", reason="needs pip install 'distexpand[hub]'")
    asked: list[int] = []

    def question() -> None:
        asked.append(1)
        raise ConnectionError

    stop = threading.Event()
    stop.set()
    with pausing(stop=stop), pytest.raises(InterruptedRunError):
        ask(question, place="hf://a/b", repository="a/b")
    assert len(asked) == 1


def test_who_waits_for_another_run_s_lease_stops(bucket: str, seaweedfs: SeaweedFS) -> None:
    del seaweedfs
    files = ObjectFiles(Address(scheme="s3", root=bucket, path="out"))
    held = take(files, folder="", run="one", pace=Pace())
    try:
        began = time.monotonic()
        with pausing(stop=stopped_after(0.3)), pytest.raises(InterruptedRunError):
            take(files, folder="", run="other", wait=LONG, pace=Pace())
        assert time.monotonic() - began < SOON
    finally:
        held.close()


def test_an_upload_that_a_busy_store_refuses_is_not_sent_again_after_an_interrupt(
    bucket: str, seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("boto3", reason="needs pip install 'distexpand[stores]'")
    busy = Fault(kind=Kind.STATUS, status=503, seconds=0)
    with fault_proxy(seaweedfs.endpoint, lambda _: busy) as proxy:
        set_store_environment(monkeypatch, seaweedfs.environment(proxy.endpoint))
        uploads = S3Uploads(Address(scheme="s3", root=bucket, path="out"))
        stop = threading.Event()
        stop.set()
        with pausing(stop=stop), pytest.raises(InterruptedRunError):
            uploads.begin("model.safetensors", run="run")
        assert proxy.traffic.requests["POST"] == 1
