"""What runs left in an object store is collected, and nothing else."""

import pytest

from distexpand.commit.committer import OutputMode
from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.commit.objects.cleaning import clean_object_output
from distexpand.commit.objects.committer import ObjectCommitter
from distexpand.errors import OutputTakenError, UsageError
from distexpand.storage.address import Address
from distexpand.storage.local.directories import WORK_DIRECTORY
from distexpand.storage.s3.attempt import S3Output
from distexpand.storage.s3.uploads import S3Uploads
from tests.commit.crashes import Crash
from tests.commit.store_crashes import crashing_after
from tests.commit.store_places import Place
from tests.commit.store_runs import DEAD_SOON, QUICK, run_to_store, staged


def _crash(plan, place, step):
    with pytest.raises(Crash), crashing_after(step):
        run_to_store(plan, place.address, pace=DEAD_SOON, threads=1)


@pytest.mark.parametrize("step", [8, 9, 10, 11, 12, 15, 17, 30, 45])
def test_a_crashed_run_is_cleaned_and_still_resumed(plan, expected, place, step):
    _crash(plan, place, step)
    before = place.tree()
    final = {name: raw for name, raw in before.items() if name in expected}
    cleaned = clean_object_output(place.address, pace=DEAD_SOON)
    assert not cleaned.finished
    after = place.tree()
    assert {name: raw for name, raw in after.items() if name in expected} == final
    assert not clean_object_output(place.address, pace=DEAD_SOON).files
    run_to_store(plan, place.address, mode=OutputMode.RESUME, pace=DEAD_SOON)
    place.assert_is(expected)


def test_uploads_without_a_receipt_are_aborted_and_counted(plan, bucket, seaweedfs):
    place = Place(Address(scheme="s3", root=bucket, path="out"), seaweedfs)
    committer = ObjectCommitter(place.address, plan, OutputMode.FRESH, pace=DEAD_SOON)
    whole = staged(committer, plan.shards[0])
    committer._names.give = _crashing
    with pytest.raises(Crash):
        committer.commit(whole)
    left = staged(committer, plan.shards[1])
    other = S3Uploads(place.address).begin("somebody-elses.bin", run="")
    assert len(place.uploads()) == 3
    cleaned = clean_object_output(place.address, pace=DEAD_SOON)
    assert (cleaned.files, cleaned.bytes, cleaned.finished) == (1, plan.shards[1].size, False)
    assert sorted(place.uploads()) == sorted([whole.attempt.split(".")[-1], other.id])
    assert left.attempt.split(".")[-1] not in place.uploads()
    with ObjectCommitter(place.address, plan, OutputMode.RESUME, pace=DEAD_SOON) as committer:
        assert list(committer.receipts) == [plan.shards[0].name]


def _crashing(*_):
    raise Crash


def test_a_finished_output_is_rid_of_whatever_was_left(plan, expected, place):
    run_to_store(plan, place.address)
    assert not clean_object_output(place.address, pace=QUICK).files
    place.put(f"{WORK_DIRECTORY}/run-of-a-zombie/receipts/x.json", b"{}")
    cleaned = clean_object_output(place.address, pace=QUICK)
    assert (cleaned.files, cleaned.bytes, cleaned.finished) == (1, 2, True)
    place.assert_is(expected)


def test_a_finished_output_s_uploads_are_aborted(plan, expected, bucket, seaweedfs):
    place = Place(Address(scheme="s3", root=bucket, path="out"), seaweedfs)
    run_to_store(plan, place.address)
    for name in (plan.shards[0].name, "model-00077-of-00078.safetensors"):
        S3Output(place.address).begin(name, 5)
    assert clean_object_output(place.address, pace=QUICK).files == 2
    place.assert_is(expected)


def test_a_run_at_work_is_left_alone(plan, place):
    with ObjectCommitter(place.address, plan, OutputMode.FRESH, pace=QUICK) as committer:
        receipt = staged(committer, plan.shards[0])
        with pytest.raises(OutputTakenError):
            clean_object_output(place.address, pace=QUICK)
        committer.commit(receipt)


@pytest.mark.parametrize("files", [{}, {"a": b"precious"}])
def test_what_is_no_output_is_refused_and_left_alone(place, files):
    for name, raw in files.items():
        place.put(name, raw)
    with pytest.raises(UsageError, match="no output of distexpand"):
        clean_object_output(place.address, pace=QUICK)
    place.assert_is(files)


def test_an_interrupted_overwrite_keeps_what_it_needs(plan, expected, place):
    run_to_store(plan, place.address)
    committer = ObjectCommitter(place.address, plan, OutputMode.OVERWRITE, pace=DEAD_SOON)
    assert MANIFEST_NAME not in place.tree()
    committer._scratch.close()
    clean_object_output(place.address, pace=DEAD_SOON)
    run_to_store(plan, place.address, mode=OutputMode.RESUME, pace=DEAD_SOON)
    place.assert_is(expected)
