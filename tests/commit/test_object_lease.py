"""One holder at a time, told by a real store alone."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from distexpand.commit.objects.lease import Pace, take
from distexpand.commit.objects.lease_record import LEASE_PATH, read_lease
from distexpand.errors import OutputTakenError, StorageError
from distexpand.storage.objects.files import ObjectFiles
from tests.commit.store_runs import DEAD_SOON, QUICK

HANGS = Pace(beat=60, look=0.05, patience=60)


@pytest.fixture
def files(place):
    return ObjectFiles(place.address)


def test_a_holder_that_lives_is_left_alone_and_named(files):
    lease = take(files, run="job 7", pace=QUICK)
    for _ in range(2):
        with pytest.raises(OutputTakenError, match=r"another run is writing this output \(job 7 on "):
            take(files, pace=QUICK)
    lease.require_held()
    lease.close()


def test_what_is_let_go_is_taken_at_once_with_its_folder(files):
    first = take(files, pace=HANGS)
    first.close()
    second = take(files, pace=HANGS)
    assert second.folder == first.folder
    second.close()


def test_a_holder_without_a_beat_is_replaced_and_finds_out(files):
    first = take(files, pace=DEAD_SOON)
    second = take(files, pace=QUICK)
    assert second.folder == first.folder
    with pytest.raises(OutputTakenError, match="taken this output over"):
        first.require_held()
    for change in (first.end, lambda: first.move_to("x")):
        with pytest.raises(OutputTakenError):
            change()
    first.close()
    second.require_held()
    assert read_lease(files).folder == second.folder
    second.close()


def test_the_beat_tells_a_holder_that_it_was_replaced(files):
    first = take(files, pace=QUICK)
    second = json.loads(files.read(LEASE_PATH).raw) | {"key": "another"}
    files.write(LEASE_PATH, json.dumps(second).encode())
    deadline = time.monotonic() + 10
    while not first.lost:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    first.close()
    assert read_lease(files).key == "another"


def test_who_may_wait_is_told_and_gets_it(files):
    first, told = take(files, pace=QUICK), []
    threading.Timer(1, first.close).start()
    second = take(files, wait=30, told=told.append, pace=QUICK)
    assert len(told) == 1
    assert "waiting up to 30 s" in told[0]
    second.close()


@pytest.mark.parametrize("before", ["nothing", "let go", "dead"])
def test_of_many_that_come_at_once_one_gets_it(files, before):
    if before != "nothing":
        lease = take(files, pace=DEAD_SOON)
        if before == "let go":
            lease.close()
    barrier = threading.Barrier(6)

    def come(_):
        barrier.wait()
        try:
            return take(files, pace=QUICK)
        except OutputTakenError:
            return None

    with ThreadPoolExecutor(6) as pool, ExitStack() as stack:
        taken = [lease for lease in pool.map(come, range(6)) if lease is not None]
        for lease in taken:
            stack.callback(lease.close)
        assert len(taken) == 1
        taken[0].require_held()


def test_what_is_over_is_waited_for_and_taken_only_if_it_stays(files):
    first = take(files, pace=HANGS)
    first.end()
    first.close()
    started = time.monotonic()
    second = take(files, pace=Pace(beat=60, look=0.1, patience=0.5))
    assert time.monotonic() - started >= 0.5
    second.end()
    threading.Timer(0.3, second.remove).start()
    third = take(files, wait=10, pace=HANGS)
    assert third.folder != second.folder
    third.close()


def test_a_damaged_lease_is_replaced_once_nobody_changes_it(files):
    files.write(LEASE_PATH, b"{}")
    assert read_lease(files) is None
    lease = take(files, folder="run-kept", pace=DEAD_SOON)
    assert lease.folder == "run-kept"
    lease.close()


class _Careless(ObjectFiles):
    """A store that ignores conditions, as some do that speak S3."""

    def create(self, path, raw):
        self.write(path, raw)
        return self.read(path).version

    def replace(self, path, raw, version):
        del version
        return self.create(path, raw)


def test_a_store_that_ignores_conditions_is_noticed_and_told(place):
    files, told = _Careless(place.address), []
    first = take(files, told=told.append, pace=QUICK)
    assert any("ignores conditions" in line for line in told)
    with pytest.raises(OutputTakenError, match="another run is writing"):
        take(files, pace=QUICK)
    first.require_held()
    first.close()
    second = take(files, pace=QUICK)
    with pytest.raises(OutputTakenError):
        first.require_held()
    second.close()


def test_of_many_that_come_at_once_to_such_a_store_one_stays(place):
    """Two may get it, if one is slow; the first beat tells one of them."""
    files, barrier = _Careless(place.address), threading.Barrier(4)

    def come(_):
        barrier.wait()
        try:
            return take(files, pace=Pace(beat=0.2, look=0.3, patience=1))
        except OutputTakenError:
            return None

    with ThreadPoolExecutor(4) as pool:
        taken = [lease for lease in pool.map(come, range(4)) if lease is not None]
    deadline = time.monotonic() + 20
    while len(left := [lease for lease in taken if not lease.lost]) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    left[0].require_held()
    for lease in taken:
        lease.close()


def test_a_store_that_is_away_is_an_error(files, monkeypatch):
    lease = take(files, pace=DEAD_SOON)
    monkeypatch.setattr(files, "_tried", _away)
    with pytest.raises(StorageError):
        lease.require_held()
    assert not lease.lost
    lease.close()
    monkeypatch.undo()


def _away(doing, path, call, *, passes=()):
    del call, passes
    raise StorageError(f"{path}: can't {doing}: no answer")
