"""Uploads to a real S3 server keep the contract of an output, and leave nothing behind."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from distexpand.errors import StorageError
from distexpand.storage.address import Address
from distexpand.storage.objects.part_grid import LEAST_PART
from distexpand.storage.s3.attempt import S3Output
from distexpand.storage.s3.uploads import S3Uploads, upload_of
from tests.storage.contract import OutputContract, noise, read

NAMES = ("model.safetensors", "empty")


@pytest.fixture
def address(bucket):
    return Address(scheme="s3", root=bucket, path="some/where")


@pytest.fixture
def uploads(address):
    return S3Uploads(address)


@pytest.fixture
def output(address, uploads):
    return S3Output(address, run="r", client=uploads.client)


@pytest.fixture
def contents(uploads, seaweedfs):
    """Complete an attempt's upload, read its object and remove it again."""

    def whole(attempt, size):
        path = next(name for name in NAMES if attempt.name.startswith(name))
        upload = upload_of(path, attempt.name)
        assert uploads.complete(upload, uploads.parts(upload))
        made = uploads.made(path)
        assert (made.size, made.token, made.run) == (size, upload.token, "r")
        place = {"Bucket": uploads.address.root, "Key": uploads.key(path)}
        raw = seaweedfs.client.get_object(**place)["Body"].read()
        seaweedfs.client.delete_object(**place)
        return raw

    return whole


class TestS3Output(OutputContract):
    @pytest.fixture
    def contents(self, contents):
        return contents

    @pytest.fixture(autouse=True)
    def no_final_name(self, uploads, seaweedfs):
        """Nothing that an attempt does shows, and none that wasn't finished is left."""
        yield
        assert seaweedfs.contents(uploads.address.root) == {}
        assert list(uploads.in_progress()) == []


@pytest.mark.parametrize(
    "size", [LEAST_PART - 1, LEAST_PART, LEAST_PART + 1, 3 * LEAST_PART, 3 * LEAST_PART + 5]
)
def test_files_of_several_parts_are_whole(output, contents, size):
    raw, step = noise(size), 1_300_003
    with output.begin(NAMES[0], size) as attempt, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda o: attempt.write(o, memoryview(raw)[o : o + step]), range(0, size, step)))
        attempt.finish()
        assert contents(attempt, size) == raw


def test_zeros_between_parts_are_whole(output, contents):
    size, data = 5 * LEAST_PART + 3, noise(10)
    with output.begin(NAMES[0], size) as attempt:
        attempt.write(LEAST_PART - 5, memoryview(data))
        attempt.leave_zero(LEAST_PART + 5, 3 * LEAST_PART)
        attempt.finish()
        expected = bytearray(size)
        expected[LEAST_PART - 5 : LEAST_PART + 5] = data
        assert contents(attempt, size) == expected


def test_parts_are_sent_as_they_get_complete(output, uploads):
    with output.begin(NAMES[0], 4 * LEAST_PART) as attempt:
        upload = upload_of(NAMES[0], attempt.name)
        attempt.write(LEAST_PART, memoryview(bytes(LEAST_PART)))
        assert list(uploads.parts(upload)) == [2]
        attempt.write(0, memoryview(bytes(LEAST_PART - 1)))
        assert list(uploads.parts(upload)) == [2]
        attempt.leave_zero(LEAST_PART - 1, 1)
        assert sorted(uploads.parts(upload)) == [1, 2]


def test_what_was_given_can_not_be_replaced(output):
    with output.begin(NAMES[0], 3 * LEAST_PART) as attempt:
        attempt.write(0, memoryview(bytes(LEAST_PART)))
        attempt.write(LEAST_PART, memoryview(b"12345"))
        for offset in (0, LEAST_PART - 1, LEAST_PART, LEAST_PART + 4):
            with pytest.raises(StorageError, match="given before"):
                attempt.write(offset, memoryview(b"1"))
        attempt.write(LEAST_PART + 5, memoryview(b"6"))


def test_what_is_not_the_beginning_can_not_be_read_back(output):
    with output.begin(NAMES[0], 100) as attempt:
        attempt.write(0, memoryview(b"12345"))
        attempt.write(5, memoryview(b"6"))
        with pytest.raises(StorageError, match="can't be read back"):
            read(attempt, 3, 3)


@pytest.mark.parametrize("finished", [False, True])
def test_an_attempt_that_fails_is_aborted(output, uploads, finished):
    attempt = output.begin(NAMES[0], 2 * LEAST_PART)
    attempt.write(0, memoryview(bytes(LEAST_PART)))
    if finished:
        attempt.finish()
    attempt.__exit__(KeyError, KeyError(), None)
    assert uploads.parts(upload_of(NAMES[0], attempt.name)) is None
    assert list(uploads.in_progress()) == []


def test_a_finished_attempt_stays_until_it_is_completed(output, uploads):
    with output.begin(NAMES[0], 5) as attempt:
        attempt.write(0, memoryview(b"12345"))
        attempt.finish()
    upload = upload_of(NAMES[0], attempt.name)
    assert [found.id for found in uploads.in_progress()] == [upload.id]
    assert uploads.complete(upload, uploads.parts(upload))
    assert list(uploads.in_progress()) == []
    assert uploads.made(NAMES[0]).token == upload.token
    assert uploads.made("other") is None


def test_an_object_is_never_replaced(output, uploads, seaweedfs):
    with output.begin(NAMES[0], 5) as attempt:
        attempt.write(0, memoryview(b"12345"))
        attempt.finish()
    seaweedfs.put(uploads.address.root, {uploads.key(NAMES[0]): b"precious"})
    upload = upload_of(NAMES[0], attempt.name)
    assert not uploads.complete(upload, uploads.parts(upload))
    assert seaweedfs.contents(uploads.address.root) == {uploads.key(NAMES[0]): b"precious"}
    assert uploads.made(NAMES[0]).token == ""
    uploads.abort(upload)
    uploads.abort(upload)
    assert uploads.parts(upload) is None


@pytest.mark.parametrize(
    "name", ["x", "model.safetensors", "model.safetensors.", "model.safetensors.a", "other.a.b"]
)
def test_what_names_no_upload_is_refused(name):
    with pytest.raises(StorageError, match="names no upload"):
        upload_of("model.safetensors", name)
