"""Parts that S3 copies from another object are the bytes that would have been sent, whatever goes wrong."""

import botocore.client
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from distexpand.errors import StorageError
from distexpand.storage.address import Address
from distexpand.storage.local.reader import LocalReader
from distexpand.storage.objects.part_grid import LEAST_PART
from distexpand.storage.objects.source import ObjectSource
from distexpand.storage.s3.attempt import S3Output
from distexpand.storage.s3.names import S3Names
from distexpand.storage.s3.uploads import S3Uploads, upload_of
from tests.storage.contract import noise

PART = 5 << 20
NAME = "model.safetensors"
SOURCE = noise(7 * PART + 12_345)


@pytest.fixture
def reader(bucket, seaweedfs):
    seaweedfs.put(bucket, {"models/späť a/x.safetensors": SOURCE})
    reader = ObjectSource(Address(scheme="s3", root=bucket, path="models/späť a")).open("x.safetensors")
    yield reader
    reader.close()


@pytest.fixture
def output(bucket):
    return S3Output(Address(scheme="s3", root=bucket, path="out"), shares=True, least_part=PART)


@pytest.fixture
def calls(monkeypatch):
    """Return names of the calls made, and let the calls of a name have another outcome."""
    made, outcomes = [], {}
    real = botocore.client.BaseClient._make_api_call

    def call(self, operation, arguments):
        made.append(operation)
        if operation in outcomes:
            return outcomes[operation](lambda: real(self, operation, arguments))
        return real(self, operation, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)
    return made, outcomes


def _rejected(_):
    raise ClientError({"Error": {"Code": "NotImplemented", "Message": ""}}, "UploadPartCopy")


def _answer_lost(real):
    real()
    raise ConnectionClosedError(endpoint_url="http://x")


def _made(output, reader, seaweedfs, *, source_offset, offset, length, size):
    """Make a file of which a range is the source's, and return what was shared, expected and found."""
    expected = bytearray(size)
    expected[offset : offset + length] = SOURCE[source_offset : source_offset + length]
    uploads: S3Uploads = output.uploads
    with output.begin(NAME, size) as attempt:
        start, stop = attempt.share(reader, source_offset, offset, length)
        for begin, end in ((0, start), (stop, size)):
            attempt.write(begin, memoryview(expected)[begin:end])
        attempt.leave_zero(start, stop - start)
        attempt.finish()
    upload = upload_of(NAME, attempt.name)
    parts = uploads.parts(upload)
    assert sum(length for length, _ in parts.values()) == size
    assert uploads.complete(upload, parts)
    found = seaweedfs.client.get_object(Bucket=uploads.address.root, Key=f"out/{NAME}")["Body"].read()
    return (start, stop), found == expected


RANGES = [
    (0, 0, 3 * PART, 3 * PART, (0, 3 * PART)),
    (7, 0, 3 * PART, 5 * PART, (0, 3 * PART)),
    (12_345, PART - 5, 6 * PART, 8 * PART + 3, (PART, 6 * PART)),
    (100, 2 * PART + 1, 3 * PART, 5 * PART + 1, (3 * PART, 5 * PART + 1)),
    (0, 1, 2 * PART - 2, 4 * PART, (1, 1)),
    (0, 5, 100, 4 * PART, (5, 5)),
]
"""Offset in the source, offset, length, size of the file, and what can be shared of it."""


@pytest.mark.parametrize("ranges", RANGES)
def test_whole_parts_are_copied_by_the_store(output, reader, seaweedfs, calls, ranges):
    source_offset, offset, length, size, shared = ranges
    found = _made(
        output, reader, seaweedfs, source_offset=source_offset, offset=offset, length=length, size=size
    )
    assert found == (shared, True)
    assert calls[0].count("UploadPartCopy") == (shared[0] < shared[1])


@pytest.mark.parametrize("outcome", [_rejected, _answer_lost])
def test_without_copies_the_file_is_the_same(output, reader, seaweedfs, calls, outcome):
    calls[1]["UploadPartCopy"] = outcome
    shared, same = _made(output, reader, seaweedfs, source_offset=9, offset=5, length=4 * PART, size=5 * PART)
    assert same
    assert shared == (PART, 4 * PART)
    assert calls[0].count("UploadPart") == (5 if outcome is _rejected else 2)
    assert output.shares == (outcome is _answer_lost)
    with output.begin(NAME, 2 * PART) as attempt:
        again = attempt.share(reader, 0, 0, PART)
    assert again == ((0, 0) if outcome is _rejected else (0, PART))


def test_many_parts_are_copied_in_several_runs(output, reader, seaweedfs, calls, monkeypatch):
    monkeypatch.setattr("distexpand.storage.s3.sharing._COPY_BYTES", 2 * PART)
    found = _made(output, reader, seaweedfs, source_offset=0, offset=0, length=5 * PART, size=5 * PART)
    assert found == ((0, 5 * PART), True)
    assert calls[0].count("UploadPartCopy") == 3


def test_a_source_that_changed_is_not_copied(output, reader, seaweedfs, bucket):
    reader.stored()
    seaweedfs.put(bucket, {"models/späť a/x.safetensors": SOURCE[::-1]})
    with output.begin(NAME, 3 * PART) as attempt, pytest.raises(StorageError, match="changed"):
        attempt.share(reader, 0, 0, 3 * PART)


def test_what_is_no_object_of_the_store_shares_nothing(output, reader):
    plain = S3Output(output.uploads.address, least_part=PART)
    with output.begin(NAME, 2 * PART) as attempt, plain.begin(NAME, 2 * PART) as other:
        assert attempt.share(other, 0, 0, 2 * PART) == (0, 0)
        assert other.share(reader, 0, 5, PART) == (5, 5)


@pytest.fixture
def local_reader(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(SOURCE)
    reader = LocalReader(tmp_path / "x.safetensors")
    yield reader
    reader.close()


@pytest.fixture
def names(bucket):
    return S3Names(Address(scheme="s3", root=bucket, path="out"))


def _shard(output, name, reader, copies, size):
    """Make a shard of copies (offset in the source, offset, length), and return it with what was shared."""
    expected, shared = bytearray(size), []
    with output.begin(name, size) as attempt:
        for source_offset, offset, length in copies:
            expected[offset : offset + length] = SOURCE[source_offset : source_offset + length]
            start, stop = attempt.share(reader, source_offset, offset, length)
            shared.append((start, stop) if start < stop else None)
            for begin, end in ((offset, max(start, offset)), (max(stop, offset), offset + length)):
                attempt.write(begin, memoryview(expected)[begin:end])
        attempt.finish()
    return attempt.name, bytes(expected), shared


def test_duplicates_are_copied_from_a_shard_that_is_whole(names, local_reader, seaweedfs, calls, bucket):
    output = names.output("r", shares=True)
    one, size = [(5, 3, 3 * LEAST_PART)], 4 * LEAST_PART
    raws = {}
    attempt, raws["out/a"], shared = _shard(output, "a", local_reader, one, size)
    assert shared == [None]
    unfinished, _, shared = _shard(output, "b", local_reader, one, size)
    assert shared == [None]
    assert names.give("a", attempt, size)
    attempt, raws["out/b"], shared = _shard(output, "b", local_reader, [(5, 100, 3 * LEAST_PART)], size)
    assert shared == [(LEAST_PART, 3 * LEAST_PART)]
    assert names.give("b", attempt, size)
    assert calls[0].count("UploadPartCopy") == 1
    names.drop_attempt("b", unfinished)
    same = seaweedfs.contents(bucket) == raws
    assert same


def test_a_shard_that_is_gone_is_no_matter(names, local_reader, seaweedfs, bucket):
    output = names.output("r", shares=True)
    attempt, _, _ = _shard(output, "a", local_reader, [(0, 0, 3 * LEAST_PART)], 3 * LEAST_PART)
    assert names.give("a", attempt, 3 * LEAST_PART)
    seaweedfs.client.delete_object(Bucket=bucket, Key="out/a")
    attempt, raw, shared = _shard(output, "b", local_reader, [(0, 0, 3 * LEAST_PART)], 3 * LEAST_PART)
    assert shared == [(0, 3 * LEAST_PART)]
    assert names.give("b", attempt, 3 * LEAST_PART)
    same = seaweedfs.contents(bucket) == {"out/b": raw}
    assert same
    assert not output.shares


def test_what_is_not_to_be_shared_is_not(names, local_reader):
    output = names.output("r")
    for name in "ab":
        attempt, _, shared = _shard(output, name, local_reader, [(0, 0, LEAST_PART)], LEAST_PART)
        assert names.give(name, attempt, LEAST_PART)
        assert shared == [None]
