"""The proxy lets everything through unchanged, except what it is told to spoil, and counts what it sees."""

import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.fault_proxy import fault_proxy
from tests.support.faults import OF_READS, OF_WRITES, Fault, Kind, OnceEach, RandomFaults, Request
from tests.support.range_server import range_server

RAW = bytes(range(256)) * 400


@pytest.fixture(scope="module")
def server():
    with range_server() as server:
        server.put("file", RAW)
        yield server


@pytest.fixture
def proxy(server):
    with fault_proxy(server.endpoint) as proxy:
        yield proxy


def connect(proxy, *, seconds=5.0):
    return closing(http.client.HTTPConnection(urlsplit(proxy.endpoint).netloc, timeout=seconds))


def get(connection, *, method="GET"):
    connection.request(method, "/file", headers={"Range": "bytes=0-99999"})
    response = connection.getresponse()
    return response, response.read()


def test_requests_of_many_threads_pass_and_are_counted(proxy):
    def client(_):
        with connect(proxy) as connection:
            return [get(connection)[1] for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        bodies = [raw for found in pool.map(client, range(8)) for raw in found]
    assert bodies == [RAW[:100_000]] * 40
    assert proxy.traffic.requests == {"GET": 40}
    assert 40 * 100_000 < proxy.traffic.to_client < 40 * 100_500
    assert 0 < proxy.traffic.to_server < 40 * 300
    assert {request.range for request in proxy.traffic.log} == {"bytes=0-99999"}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=Kind.RESET),
        Fault(kind=Kind.RESET_IN_RESPONSE),
        Fault(kind=Kind.TRUNCATED, after=0.0),
        Fault(kind=Kind.TRUNCATED, after=0.9999),
        Fault(kind=Kind.LOST_RESPONSE),
        Fault(kind=Kind.HANG, seconds=0.3),
        Fault(kind=Kind.HANG_IN_RESPONSE, seconds=0.3),
    ],
    ids=lambda fault: fault.kind.name,
)
def test_broken_connections_are_seen_by_the_client_and_the_next_one_is_good(proxy, fault):
    proxy.plan = OnceEach(fault)
    with connect(proxy, seconds=0.2) as connection, pytest.raises((OSError, http.client.HTTPException)):
        get(connection)
    with connect(proxy) as connection:
        assert get(connection)[1] == RAW[:100_000]


def test_refusals_say_when_to_come_again_and_leave_the_connection(proxy):
    proxy.plan = OnceEach(*(Fault(kind=Kind.STATUS, status=status, seconds=2) for status in (429, 500, 503)))
    with connect(proxy) as connection:
        refused = [get(connection)[0] for _ in range(3)]
        assert [(response.status, response.getheader("Retry-After")) for response in refused] == [
            (429, "2"),
            (500, None),
            (503, "2"),
        ]
        assert get(connection)[1] == RAW[:100_000]


def test_one_response_can_be_of_another_version(proxy):
    proxy.plan = OnceEach(Fault(kind=Kind.WRONG_ETAG))
    with connect(proxy) as connection:
        (spoilt, first), (right, second) = get(connection), get(connection)
    assert (first, second) == (RAW[:100_000],) * 2
    assert spoilt.getheader("ETag") != right.getheader("ETag")


@pytest.mark.parametrize("kind", [Kind.TRICKLE, Kind.LATENCY])
def test_slow_responses_are_whole(proxy, kind):
    proxy.plan = OnceEach(Fault(kind=kind, seconds=0.4))
    started = time.monotonic()
    with connect(proxy) as connection:
        assert get(connection)[1] == RAW[:100_000]
    assert time.monotonic() - started > 0.3


def test_the_same_seed_spoils_the_same_requests():
    requests = [Request(number=n, method="GET", target="/", range="") for n in range(200)]
    plans = [RandomFaults(seed, rate=0.3) for seed in (1, 1, 2)]
    first, second, other = ([plan(request) for request in requests] for plan in plans)
    assert first == second != other
    assert {fault.kind for fault in first if fault} == OF_READS
    assert 30 < len(plans[0].done) < 90


def test_a_proxy_that_hangs_can_be_closed(server):
    with (
        fault_proxy(server.endpoint, lambda _: Fault(kind=Kind.HANG, seconds=600)) as proxy,
        connect(proxy, seconds=0.1) as connection,
        pytest.raises(TimeoutError),
    ):
        get(connection)


class TestUploads:
    """Uploads of a real client to a real store."""

    @pytest.fixture
    def proxy(self, seaweedfs):
        with fault_proxy(seaweedfs.endpoint) as proxy:
            yield proxy

    @pytest.fixture
    def client(self, seaweedfs, proxy):
        client = boto3.client(
            "s3",
            endpoint_url=proxy.endpoint,
            region_name="us-east-1",
            aws_access_key_id=seaweedfs.access_key,
            aws_secret_access_key=seaweedfs.secret_key,
            config=Config(
                s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, read_timeout=20
            ),
        )
        yield client
        client.close()

    def test_pass_with_signatures_that_hold(self, seaweedfs, bucket, proxy, client):
        client.put_object(Bucket=bucket, Key="a", Body=RAW)
        assert seaweedfs.contents(bucket) == {"a": RAW}
        assert proxy.traffic.to_server > len(RAW)
        assert proxy.traffic.requests == {"PUT": 1}

    @pytest.mark.parametrize("kind", [Kind.RESET, Kind.RESET_IN_REQUEST, Kind.STATUS, Kind.HANG])
    def test_fail_without_the_work_being_done(self, seaweedfs, bucket, proxy, client, kind):
        proxy.plan = OnceEach(Fault(kind=kind, seconds=0.3), method="PUT")
        with pytest.raises((BotoCoreError, ClientError)):
            client.put_object(Bucket=bucket, Key="a", Body=RAW)
        assert seaweedfs.contents(bucket) == {}

    @pytest.mark.parametrize("kind", [Kind.LOST_RESPONSE, Kind.FAILED_RESPONSE])
    def test_are_reported_failed_with_the_work_done(self, seaweedfs, bucket, proxy, client, kind):
        proxy.plan = OnceEach(Fault(kind=kind), method="PUT")
        with pytest.raises((BotoCoreError, ClientError)):
            client.put_object(Bucket=bucket, Key="a", Body=RAW)
        assert seaweedfs.contents(bucket) == {"a": RAW}

    def test_of_several_parts_pass_at_once(self, seaweedfs, bucket, client):
        upload = client.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
        part = RAW * 52

        def send(number):
            sent = client.upload_part(Bucket=bucket, Key="a", UploadId=upload, PartNumber=number, Body=part)
            return {"PartNumber": number, "ETag": sent["ETag"]}

        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(send, range(1, 5)))
        client.complete_multipart_upload(
            Bucket=bucket, Key="a", UploadId=upload, MultipartUpload={"Parts": parts}
        )
        assert seaweedfs.contents(bucket)["a"] == part * 4

    def test_every_kind_of_fault_is_of_reads_or_of_writes(self):
        assert set(Kind) == OF_READS | OF_WRITES
