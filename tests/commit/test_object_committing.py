"""Outputs in real object stores: the local run's bytes after any crash, and nothing left behind."""

import json

import pytest

from distexpand.commit.committer import OutputMode
from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.commit.objects.committer import ObjectCommitter
from distexpand.commit.objects.lease_record import LEASE_PATH
from distexpand.commit.stamps import SourceStamp
from distexpand.engine.receipt import Receipt
from distexpand.errors import InterruptedRunError, OutputError, OutputTakenError, StorageError, UsageError
from distexpand.storage.address import Address
from distexpand.storage.local.directories import WORK_DIRECTORY
from distexpand.storage.s3.uploads import S3Uploads
from tests.api.small import BLOCKS, small_plan
from tests.commit.crashes import Crash
from tests.commit.store_crashes import crashing_after, losing_answer
from tests.commit.store_places import Place
from tests.commit.store_runs import DEAD_SOON, QUICK, run_to_store, staged

EACH_UNTIL, THEN_EVERY = 14, 5
"""Of a run's steps, at which it is stopped: what follows is shards and files that fare alike."""


def _next(step, place):
    """Return the step to be tried next; where another store has tried each, fewer will do."""
    return step + (1 if step < EACH_UNTIL and place.address.scheme == "s3" else THEN_EVERY)


def _crashed(plan, place, step, mode=OutputMode.FRESH):
    """Run until the crash and say whether there was one."""
    try:
        with crashing_after(step):
            run_to_store(plan, place.address, mode=mode, pace=DEAD_SOON, threads=1)
    except Crash:
        return True
    return False


def _resume(plan, place):
    run_to_store(plan, place.address, mode=OutputMode.RESUME, pace=DEAD_SOON)


def test_the_output_is_the_local_run_s(plan, expected, place):
    run_to_store(plan, place.address)
    place.assert_is(expected)


def test_an_output_may_be_a_whole_bucket(plan, expected, place):
    run_to_store(plan, Address(scheme=place.address.scheme, root=place.address.root))
    assert place.server.contents(place.address.root) == expected


def test_a_crash_at_any_step_is_resumed_to_the_same_bytes(plan, expected, new_place):
    step = 1
    while _crashed(plan, place := new_place(), step):
        place.assert_no_partial_file(expected)
        _resume(plan, place)
        place.assert_is(expected)
        step = _next(step, place)
    assert step > 50


def test_an_answer_that_is_lost_at_any_step_changes_nothing(plan, expected, new_place):
    step, messages, happened = 1, [], True
    while happened:
        place = new_place()
        try:
            with losing_answer(step) as steps:
                run_to_store(plan, place.address, pace=DEAD_SOON, threads=1)
        except StorageError as error:
            messages.append(f"{error.message} {error.hint}")
            place.assert_no_partial_file(expected)
            _resume(plan, place)
        place.assert_is(expected)
        happened, step = steps.happened, _next(step, place)
    assert step > 50
    assert messages
    assert not any("signature" in message for message in messages)


def test_a_crash_while_resuming_is_resumed(plan, expected, new_place):
    for first, second in [(20, 3), (20, 9), (35, 2), (35, 12), (50, 5)]:
        place = new_place()
        assert _crashed(plan, place, first)
        assert _crashed(plan, place, second, OutputMode.RESUME)
        place.assert_no_partial_file(expected)
        _resume(plan, place)
        place.assert_is(expected)


def test_an_interrupted_overwrite_is_resumed(model, plan, expected, new_place):
    """At the steps that are its own, in the main; those that follow are of any run."""
    earlier = small_plan(BLOCKS, model, shard_size=9000)
    anew = 0
    for step in [*range(1, EACH_UNTIL), 25, 50][:: 1 if new_place().address.scheme == "s3" else 3]:
        place = new_place()
        run_to_store(earlier, place.address)
        before = place.tree()
        assert _crashed(plan, place, step, OutputMode.OVERWRITE)
        found = place.tree()
        folder = json.loads(found.get(LEASE_PATH, b"{}")).get("folder", "")
        if f"{WORK_DIRECTORY}/{folder}/plan" in found:
            _resume(plan, place)
        else:
            assert {name: found[name] for name in before} == before
            run_to_store(plan, place.address, mode=OutputMode.OVERWRITE, pace=DEAD_SOON)
            anew += 1
        place.assert_is(expected)
    assert 0 < anew < EACH_UNTIL - 2


def test_overwriting_an_unfinished_run(model, plan, expected, place):
    assert _crashed(small_plan(BLOCKS, model, shard_size=3000), place, 40)
    assert any(name.endswith(".safetensors") for name in place.tree())
    with pytest.raises(UsageError, match="begun with another plan"):
        _resume(plan, place)
    with pytest.raises(UsageError, match="isn't empty") as caught:
        run_to_store(plan, place.address)
    assert "--resume" in caught.value.hint
    run_to_store(plan, place.address, mode=OutputMode.OVERWRITE, pace=DEAD_SOON)
    place.assert_is(expected)


@pytest.mark.parametrize("name", ["notes/mine.txt", "model-00099-of-00099.safetensors", "a"])
def test_what_distexpand_did_not_write_is_never_touched(plan, place, name):
    place.put(name, b"precious")
    for mode in OutputMode:
        with pytest.raises(UsageError):
            run_to_store(plan, place.address, mode=mode)
    place.assert_is({name: b"precious"})


def test_an_output_that_was_changed_is_not_overwritten(plan, expected, place):
    run_to_store(plan, place.address)
    place.put("README.md", b"my own words")
    with pytest.raises(UsageError, match=r"README\.md, which distexpand didn't write as it is now"):
        run_to_store(plan, place.address, mode=OutputMode.OVERWRITE)
    place.assert_is(expected | {"README.md": b"my own words"})


def test_finished_and_resumed_changes_nothing(plan, expected, place):
    run_to_store(plan, place.address)
    with crashing_after(0) as steps:
        _resume(plan, place)
    assert steps.made == []
    with pytest.raises(UsageError, match="isn't empty") as caught:
        run_to_store(plan, place.address)
    assert "--overwrite" in caught.value.hint
    place.assert_is(expected)


def test_a_finished_output_that_lost_a_file_is_told(plan, place):
    run_to_store(plan, place.address)
    shard = plan.shards[0].name
    place.put(shard, b"short")
    with pytest.raises(OutputError, match=f"{shard} has 5 bytes instead"):
        _resume(plan, place)


def test_two_committers_exclude_each_other(plan, expected, place):
    with ObjectCommitter(place.address, plan, OutputMode.FRESH, pace=QUICK):
        for mode in (OutputMode.RESUME, OutputMode.OVERWRITE):
            with pytest.raises(OutputTakenError, match=r"another run is writing this output \(process"):
                ObjectCommitter(place.address, plan, mode, pace=QUICK)
        with pytest.raises(UsageError):
            ObjectCommitter(place.address, plan, OutputMode.FRESH, pace=QUICK)
    _resume(plan, place)
    place.assert_is(expected)


def test_a_receipt_of_another_file_is_refused(plan, place):
    shard = plan.shards[0]
    with ObjectCommitter(place.address, plan, OutputMode.FRESH, pace=QUICK) as committer:
        receipt = staged(committer, shard)
        for attempt, size in ((receipt.attempt, shard.size + 1), (f"{receipt.attempt}x", shard.size)):
            other = Receipt(shard=shard.name, attempt=attempt, size=size, digest="", tensors=(), seconds=0.0)
            with pytest.raises(OutputError, match="isn't the file"):
                committer.commit(other)
        with pytest.raises(OutputError, match="shards are missing"):
            committer.publish({})
    assert all(name.startswith((WORK_DIRECTORY, "UNFINISHED")) for name in place.tree())
    assert place.uploads() == []


def test_a_name_that_somebody_took_meanwhile_is_not_replaced(plan, place):
    shard = plan.shards[0].name
    with ObjectCommitter(place.address, plan, OutputMode.FRESH, pace=QUICK) as committer:
        receipt = staged(committer, plan.shards[0])
        place.put(shard, b"precious")
        with pytest.raises(OutputError, match=f"holds {shard}, which this run didn't write"):
            committer.commit(receipt)
    assert place.tree()[shard] == b"precious"
    with pytest.raises(OutputError, match=f"holds {shard}, which this run didn't write"):
        _resume(plan, place)
    assert place.tree()[shard] == b"precious"


def test_sources_that_changed_are_refused(plan, place):
    stamps = [SourceStamp(model="a", path="x", size=1, version=version) for version in "12"]
    with ObjectCommitter(place.address, plan, OutputMode.FRESH, pace=QUICK) as committer:
        committer.hold_sources(stamps[:1])
        committer.hold_sources(stamps[1:])  # nothing was made of them yet
        committer.commit(staged(committer, plan.shards[0]))
    with ObjectCommitter(place.address, plan, OutputMode.RESUME, pace=QUICK) as committer:
        assert list(committer.receipts) == [plan.shards[0].name]
        committer.hold_sources(stamps[1:])
        with pytest.raises(OutputError, match="x of model a changed since"):
            committer.hold_sources(stamps[:1])


def test_a_run_that_fails_leaves_what_is_whole_and_nothing_else(plan, expected, place):
    class Stopped:
        def is_set(self):
            return committed == 2

    committed = 0
    names = [shard.name for shard in plan.shards]

    def tell(_):
        nonlocal committed
        committed += 1

    with pytest.raises(InterruptedRunError):
        run_to_store(plan, place.address, stop=Stopped(), tell=tell)
    assert place.uploads() == []
    found = place.tree()
    assert [name for name in names if name in found] == names[:2]
    assert not any(name.startswith(f"{WORK_DIRECTORY}/attempts") for name in found)
    _resume(plan, place)
    place.assert_is(expected)


def test_uploads_that_a_crash_left_are_collected_and_no_other_s(plan, expected, bucket, seaweedfs):
    place = Place(Address(scheme="s3", root=bucket, path="out"), seaweedfs)
    uploads = S3Uploads(place.address)
    for name in (plan.shards[0].name, "config.json", MANIFEST_NAME):
        uploads.begin(name, run="")
    other = uploads.begin("somebody-elses.bin", run="")
    run_to_store(plan, place.address)
    assert place.uploads() == [other.id]
    assert place.tree() == expected
