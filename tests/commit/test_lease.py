"""The fence: whoever lost an output to another run can't change it any more, whatever it still does."""

import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distexpand.api import run_plan
from distexpand.commit import lease
from distexpand.commit.committer import Committer, OutputMode
from distexpand.commit.journal import append_receipt
from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.commit.work_directory import WorkDirectory, current
from distexpand.errors import OutputError, StorageError
from distexpand.planning.model import Plan
from distexpand.storage.local.directories import LocalOutput
from tests.api.small import tree
from tests.commit.hosts import attempted, cut_off, hold_sources, on_host, publish


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def zombie(plan: Plan, output: Path) -> Iterator[Committer]:
    """Return a committer that has committed one shard and is cut off."""
    committer = Committer(output, plan, OutputMode.FRESH, run="nightly-1")
    hold_sources(committer)
    committer.commit(attempted(committer, plan.shards[0]))
    cut_off(committer)
    yield committer
    committer.close()


def _taken_over(plan: Plan, output: Path) -> Committer:
    with on_host("another", output):
        committer = Committer(output, plan, OutputMode.RESUME, run="nightly-2")
    hold_sources(committer)
    return committer


def _finish(committer: Committer) -> None:
    for shard in committer.plan.shards:
        if shard.name not in committer.receipts:
            committer.commit(attempted(committer, shard))
    publish(committer)


def test_who_was_taken_over_can_do_nothing_any_more(
    plan: Plan, expected: dict[str, bytes], output: Path, zombie: Committer
) -> None:
    receipt = attempted(zombie, plan.shards[1])
    with _taken_over(plan, output) as second:
        assert second.receipts.keys() == {plan.shards[0].name}
        before = tree(output)

        for act in (
            lambda: zombie.commit(receipt),
            lambda: publish(zombie),
            zombie.require_held,
        ):
            with pytest.raises(OutputError, match="another run has taken this output over"):
                act()
        with pytest.raises(StorageError, match="No such file"):
            append_receipt(zombie._work.journal, receipt)
        with pytest.raises(StorageError, match="can't create"):
            attempted(zombie, plan.shards[2])
        zombie.close()
        assert tree(output) == before
        _finish(second)
    assert tree(output) == expected


def test_steps_behind_the_check_are_fenced_too(
    plan: Plan, expected: dict[str, bytes], output: Path, zombie: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The zombie looks, finds that it holds the output, and is only then cut off for a while."""
    receipts = [attempted(zombie, shard) for shard in plan.shards[1:]]
    monkeypatch.setattr(zombie, "require_held", lambda: None)
    with _taken_over(plan, output) as second:
        before = tree(output)
        with pytest.raises(OutputError, match="isn't the file"):
            zombie.commit(receipts[0])
        zombie.receipts |= {receipt.shard: receipt for receipt in receipts}
        with pytest.raises(StorageError):
            publish(zombie)
        assert tree(output) == before
        _finish(second)
    assert tree(output) == expected


def test_what_a_zombie_s_worker_has_open_stays_a_harmless_orphan(
    plan: Plan, expected: dict[str, bytes], output: Path, zombie: Committer
) -> None:
    shard = plan.shards[1]
    with LocalOutput(zombie.attempts).begin(shard.name, shard.size) as attempt:
        second = _taken_over(plan, output)
        attempt.write(0, memoryview(b"\xff" * shard.size))
        attempt.finish()
        second.commit(attempted(second, shard))
        attempt.write(0, memoryview(b"\xee" * shard.size))
        _finish(second)
        attempt.write(0, memoryview(b"\xdd" * shard.size))
    assert tree(output) == expected


def test_the_beat_never_brings_a_renamed_folder_back(
    plan: Plan, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("BEAT_SECONDS", 0.05), ("PATIENCE_SECONDS", 0.3), ("_AGAIN_SECONDS", 0.02)):
        monkeypatch.setattr(lease, name, seconds)
    others = set(threading.enumerate())
    with Committer(output, plan, OutputMode.FRESH) as first:
        [beating] = set(threading.enumerate()) - others
        old = first._work
        beats = {old.holder.read_bytes() for _ in range(10) if not time.sleep(0.05)}
        assert len(beats) > 1
        new = WorkDirectory(output=output, term=old.term + 1)
        old.run.rename(new.run)
        beating.join(10)
        assert not beating.is_alive()
        assert not old.run.exists()
        with pytest.raises(OutputError, match="another run has taken this output over"):
            first.require_held()


def test_a_holder_that_lives_on_another_machine_is_refused_by_name(
    plan: Plan, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    told: list[str] = []
    with Committer(output, plan, OutputMode.FRESH, run="nightly-1"), on_host("another", output, patience=10):
        began = time.monotonic()
        with pytest.raises(OutputError, match=r"another run is writing this output \(nightly-1 on "):
            Committer(output, plan, OutputMode.RESUME)
        assert time.monotonic() - began < 5  # the beat was seen long before patience ended
        with pytest.raises(OutputError, match="another run is writing"):
            Committer(output, plan, OutputMode.RESUME, wait=0.5, told=told.append)
        assert time.monotonic() - began > 0.5
    assert told == [f"{output}: another run is writing this output; waiting up to 0 s for it to end"]


def test_a_run_without_a_name_is_called_by_its_process(plan: Plan, output: Path) -> None:
    with (
        Committer(output, plan, OutputMode.FRESH),
        pytest.raises(OutputError, match=rf"\(process {os.getpid()} on "),
    ):
        Committer(output, plan, OutputMode.RESUME)


def test_a_holder_that_is_gone_elsewhere_is_waited_for_and_replaced(
    plan: Plan, output: Path, zombie: Committer
) -> None:
    assert zombie._lease is not None
    with on_host("another", output, patience=0.6):
        began = time.monotonic()
        with Committer(output, plan, OutputMode.RESUME) as second:
            assert time.monotonic() - began >= 0.6
            assert current(output).term == second._work.term == zombie._work.term + 1


def test_a_holder_that_let_go_is_followed_at_once(plan: Plan, output: Path) -> None:
    with Committer(output, plan, OutputMode.FRESH):
        pass
    with on_host("another", output, patience=60):
        began = time.monotonic()
        with Committer(output, plan, OutputMode.RESUME):
            assert time.monotonic() - began < 30


def test_a_holder_that_died_on_this_machine_is_followed_at_once(
    plan: Plan, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "PATIENCE_SECONDS", 60)
    committer = Committer(output, plan, OutputMode.FRESH)
    cut_off(committer)
    assert committer._lease is not None
    os.close(committer._lease._lock)  # as the system does with what a killed process held
    began = time.monotonic()
    with Committer(output, plan, OutputMode.RESUME):
        assert time.monotonic() - began < 30


@pytest.mark.usefixtures("zombie")
def test_of_two_that_take_over_at_once_one_wins(output: Path) -> None:
    before = current(output)
    with on_host("another", output):
        locks = [lease.knock(output)]
        WorkDirectory(output=output).lock.unlink()
        locks.append(lease.knock(output))
    entered: list[lease.Lease] = []
    refused: list[OutputError] = []
    barrier = threading.Barrier(2)

    def enter(lock: int) -> None:
        barrier.wait()
        try:
            entered.append(lease.enter(output, lock))
        except OutputError as error:
            refused.append(error)
            os.close(lock)

    threads = [threading.Thread(target=enter, args=(lock,)) for lock in locks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Each in turn is allowed too; what can't be is that both hold the same term.
    terms = [taken.work.term for taken in entered]
    assert len(terms) == len(set(terms))
    assert len(entered) + len(refused) == 2
    assert [taken.lost() for taken in entered].count(False) == 1
    assert current(output).term == max(terms) > before.term
    for taken in entered:
        taken.close()


_ACTS = ("take over", "attempt", "commit", "publish", "leave")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(_ACTS)), max_size=25))
def test_whatever_three_hosts_do_no_wrong_byte_gets_a_final_name(
    plan: Plan,
    expected: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    acts: list[tuple[int, str]],
) -> None:
    world = _Hosts(plan, expected, tmp_path_factory.mktemp("hosts") / "out")
    for host, act in acts:
        world.act(host, act)
        world.require_sound()
    world.finish()


class _Hosts:
    """Three hosts that take one output from one another; `newest` is who took it last."""

    def __init__(self, plan: Plan, expected: dict[str, bytes], output: Path) -> None:
        self.plan = plan
        self.expected = expected
        self.output = output
        self.committers: dict[int, Committer] = {}
        self.receipts: dict[int, list[Any]] = {}
        self.newest: int | None = None

    def act(self, host: int, act: str) -> None:
        if act == "take over":
            self._take_over(host)
        elif host in self.committers:
            try:
                self._do(self.committers[host], host, act)
            except (OutputError, StorageError) as error:
                shards_are_missing = act == "publish" and "are missing" in error.message
                assert shards_are_missing or host != self.newest or self.committers[host].finished

    def _take_over(self, host: int) -> None:
        for committer in self.committers.values():
            if committer._lease is not None:
                cut_off(committer)
        with on_host(f"host {host}", self.output, patience=0):
            committer = Committer(self.output, self.plan, OutputMode.RESUME)
        if not committer.finished:
            hold_sources(committer)
        self.committers[host], self.receipts[host], self.newest = committer, [], host

    def _do(self, committer: Committer, host: int, act: str) -> None:
        if act == "attempt":
            waiting = [shard for shard in self.plan.shards if shard.name not in committer.receipts]
            if waiting and not committer.finished:
                self.receipts[host].append(attempted(committer, waiting[0]))
                assert host == self.newest
        elif act == "commit" and self.receipts[host]:
            committer.commit(self.receipts[host].pop())
            assert host == self.newest
        elif act == "publish" and not committer.finished:
            publish(committer)
            assert host == self.newest
        elif act == "leave":
            committer.close()

    def require_sound(self) -> None:
        found = tree(self.output) if self.output.exists() else {}
        for name, raw in found.items():
            if name in self.expected:
                assert raw == self.expected[name], name
        if MANIFEST_NAME in found:
            assert self.expected.keys() <= found.keys()

    def finish(self) -> None:
        with on_host("the last one", self.output, patience=0):
            run_plan(self.plan, self.output, mode=OutputMode.RESUME)
        for committer in self.committers.values():
            committer.close()
        assert tree(self.output) == self.expected


def test_where_there_are_no_locks_the_beat_alone_tells(
    plan: Plan, expected: dict[str, bytes], output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(lease.fcntl, "flock", no_locks)
    for name, seconds in (("BEAT_SECONDS", 0.05), ("PATIENCE_SECONDS", 0.3), ("_AGAIN_SECONDS", 0.02)):
        monkeypatch.setattr(lease, name, seconds)
    with Committer(output, plan, OutputMode.FRESH) as first:
        with pytest.raises(OutputError, match="another run is writing this output"):
            Committer(output, plan, OutputMode.RESUME)
        cut_off(first)
    run_plan(plan, output, mode=OutputMode.RESUME)
    assert tree(output) == expected
