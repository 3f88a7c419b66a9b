"""Reading through a bad network, from bad servers, from a source that changes: right bytes or an error."""

import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from random import Random
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distexpand.errors import StorageError
from distexpand.storage.address import Address
from distexpand.storage.objects import reader as object_reader
from distexpand.storage.objects.source import ObjectSource
from tests.storage.contract import noise, read
from tests.support.fault_proxy import fault_proxy
from tests.support.faults import OF_READS, Fault, Kind, OnceEach, RandomFaults
from tests.support.range_server import Response, Tags, range_server
from tests.support.store_environment import set_store_environment

MEBIBYTE = 2**20
RAW = noise(4 * MEBIBYTE)
PASSING = OF_READS - {Kind.WRONG_ETAG}


@pytest.fixture(scope="module")
def shared_server():
    with range_server() as server:
        yield server


@pytest.fixture
def server(shared_server, monkeypatch):
    """A good server with one file, which may be slow for a second."""
    set_store_environment(monkeypatch, {"DISTEXPAND_TIMEOUT": "1"})
    shared_server.tags, shared_server.dated = Tags.STRONG, True
    shared_server.distort = lambda _method, response: response
    shared_server.put("model/file", RAW)
    return shared_server


@pytest.fixture
def proxy(server):
    with fault_proxy(server.endpoint) as proxy:
        yield proxy


def opened(endpoint):
    return ObjectSource(Address(scheme="http", root=endpoint.partition("//")[2], path="model")).open("file")


def is_right(reader, offset, length):
    return (
        read(reader, offset, length) == RAW[offset : offset + length]
    )  # to show where they differ takes seconds


def ranges(proxy):
    """Return first and last byte of the ranges that were asked for, without what is fetched at opening."""
    asked = [request.range for request in proxy.traffic.log if request.range]
    return [tuple(map(int, text.removeprefix("bytes=").split("-"))) for text in asked][1:]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=Kind.RESET_IN_RESPONSE, after=0.5),
        Fault(kind=Kind.TRUNCATED, after=0.5),
        Fault(kind=Kind.HANG_IN_RESPONSE, after=0.5, seconds=3),
    ],
    ids=lambda fault: fault.kind.name,
)
def test_what_has_arrived_is_not_asked_for_again(proxy, fault):
    reader = opened(proxy.endpoint)
    assert reader.size == len(RAW)
    proxy.plan = OnceEach(fault)
    assert is_right(reader, 1000, 3 * MEBIBYTE)
    first, second = ranges(proxy)
    assert first == (1000, 1000 + 3 * MEBIBYTE - 1)
    assert second[1] == first[1]
    assert second[0] - first[0] > MEBIBYTE  # of the half, what was on its way at a reset is lost


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=Kind.RESET),
        Fault(kind=Kind.HANG, seconds=3),
        Fault(kind=Kind.STATUS, status=429),
        Fault(kind=Kind.STATUS, status=500),
        Fault(kind=Kind.STATUS, status=503),
    ],
    ids=lambda fault: f"{fault.kind.name} {fault.status}",
)
def test_refused_requests_are_made_again(proxy, fault):
    proxy.plan = OnceEach(fault, fault, fault)
    assert is_right(opened(proxy.endpoint), 1000, MEBIBYTE)


def test_a_slow_server_is_not_a_hanging_one(proxy):
    reader = opened(proxy.endpoint)
    assert reader.size == len(RAW)
    proxy.plan = OnceEach(Fault(kind=Kind.TRICKLE, seconds=2.5))
    assert is_right(reader, 1000, MEBIBYTE)
    assert len(ranges(proxy)) == 1


def test_a_busy_server_is_left_alone_as_long_as_it_wants(proxy):
    free = time.monotonic() + 1.5

    def busy(_):
        left = free - time.monotonic()
        return Fault(kind=Kind.STATUS, status=429, seconds=2) if left > 0 else None

    proxy.plan = busy
    assert is_right(opened(proxy.endpoint), 1000, MEBIBYTE)
    assert [request.method for request in proxy.traffic.log] == ["GET", "HEAD", "GET", "GET"]


def test_a_busy_server_may_say_when_by_a_date(server):
    free = time.time() + 2

    def busy(_method, response):
        if time.time() >= free:
            return response
        return Response(
            status=503, headers={"Content-Length": "0", "Retry-After": formatdate(free, usegmt=True)}
        )

    server.distort = busy
    reader = opened(server.endpoint)
    assert reader.size == len(RAW)
    assert time.time() >= free - 1


def test_a_server_that_wants_to_be_left_alone_for_too_long_is_an_error_at_once(proxy):
    proxy.plan = lambda _: Fault(kind=Kind.STATUS, status=503, seconds=3600)
    with pytest.raises(StorageError, match=r"model/file: can't read: the server answers 503"):
        read(opened(proxy.endpoint), 0, 1)
    assert proxy.traffic.requests == {"GET": 1, "HEAD": 1}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(kind=Kind.RESET), r"the connection broke \(10 attempts\)"),
        (Fault(kind=Kind.HANG, seconds=2), r"the server doesn't answer \(5 attempts\)"),
        (Fault(kind=Kind.STATUS, status=500), r"the server answers 500 \(10 attempts\)"),
        (Fault(kind=Kind.STATUS, status=503), r"the server answers 503 \(10 attempts\)"),
        (Fault(kind=Kind.TRUNCATED, after=0), r"the connection broke \(10 attempts\)"),
    ],
    ids=lambda value: value.kind.name if isinstance(value, Fault) else "",
)
def test_faults_that_stay_are_an_error_in_the_end(proxy, monkeypatch, fault, message):
    monkeypatch.setenv("DISTEXPAND_TIMEOUT", "0.3")
    proxy.plan = lambda _: fault
    with pytest.raises(StorageError, match=f"model/file: can't read: {message}") as raised:
        read(opened(proxy.endpoint), 0, 100)
    assert raised.value.hint or fault.status == 500


def test_faults_are_forgotten_where_the_read_gets_on(proxy, monkeypatch):
    """More of them than ever in a row are borne if each brings the read forward."""
    monkeypatch.setenv("DISTEXPAND_TIMEOUT", "0.3")
    reader = opened(proxy.endpoint)
    assert reader.size == len(RAW)
    proxy.plan = OnceEach(*[Fault(kind=Kind.TRUNCATED, after=0.1)] * 14)
    assert is_right(reader, 0, len(RAW))
    assert len(ranges(proxy)) == 15


@pytest.mark.parametrize("seed", range(6))
def test_passing_faults_are_borne(proxy, seed):
    proxy.plan = RandomFaults(seed, rate=0.4, kinds=PASSING, hang_seconds=2)
    reader, random = opened(proxy.endpoint), Random(seed)
    for _ in range(8):
        offset = random.randrange(len(RAW))
        assert is_right(reader, offset, random.randrange(len(RAW) - offset))
    assert proxy.plan.done


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    rate=st.sampled_from([0.1, 0.5, 0.9]),
    tags=st.sampled_from(Tags),
    wanted=st.lists(
        st.tuples(st.integers(0, len(RAW) - 1), st.integers(1, MEBIBYTE)), min_size=1, max_size=5
    ),
)
def test_a_read_gives_the_right_bytes_or_an_error(server, seed, rate, tags, wanted):
    """Under any faults; several threads read at once."""
    server.tags = tags
    plan = RandomFaults(seed, rate=rate, hang_seconds=0.5)

    def attempt(reader, offset, length):
        try:
            return is_right(reader, offset, length)
        except StorageError as error:
            return str(error).startswith(f"http://{proxy.endpoint.partition('//')[2]}/model/file: ")

    with pytest.MonkeyPatch.context() as patch, fault_proxy(server.endpoint, plan) as proxy:
        patch.setenv("DISTEXPAND_TIMEOUT", "0.2")
        patch.setattr(object_reader, "HEAD_BYTES", 1000)
        with ThreadPoolExecutor(4) as pool:
            reader = opened(proxy.endpoint)
            lengths = [(offset, min(length, len(RAW) - offset)) for offset, length in wanted]
            assert all(pool.map(lambda part: attempt(reader, *part), lengths))


class TestRealStores:
    """Real stores behind the proxy, whose requests are signed."""

    FILES: ClassVar = {"model/file": RAW, "model/a/b": b"1", "model/c/d": b"22"}

    @pytest.fixture
    def s3(self, seaweedfs, bucket, monkeypatch):
        seaweedfs.put(bucket, self.FILES)
        with fault_proxy(seaweedfs.endpoint) as proxy:
            set_store_environment(
                monkeypatch, {**seaweedfs.environment(proxy.endpoint), "DISTEXPAND_TIMEOUT": "1"}
            )
            yield proxy, Address(scheme="s3", root=bucket, path="model")

    @pytest.fixture
    def azure(self, azurite, container, monkeypatch):
        azurite.put(container, self.FILES)
        with fault_proxy(azurite.endpoint) as proxy:
            set_store_environment(
                monkeypatch, {**azurite.environment(proxy.endpoint), "DISTEXPAND_TIMEOUT": "1"}
            )
            yield proxy, Address(scheme="az", root=container, path="model")

    @pytest.mark.parametrize("seed", range(2))
    @pytest.mark.parametrize("store", ["s3", "azure"])
    def test_are_listed_and_read_through_passing_faults(self, request, store, seed):
        proxy, address = request.getfixturevalue(store)
        proxy.plan = RandomFaults(seed, rate=0.4, kinds=PASSING, hang_seconds=2)
        source = ObjectSource(address)
        assert source.files() == {"file": len(RAW), "a/b": 1, "c/d": 2}
        reader = source.open("file")
        assert all(is_right(reader, offset, MEBIBYTE) for offset in range(0, len(RAW), MEBIBYTE))
        reader.check_unchanged()
        assert len(proxy.plan.done) > 2

    @pytest.mark.parametrize("store", ["s3", "azure"])
    def test_are_left_alone_as_long_as_they_want(self, request, store):
        proxy, address = request.getfixturevalue(store)
        proxy.plan = lambda request: (
            Fault(kind=Kind.STATUS, status=503, seconds=1) if request.number < 3 else None
        )
        started = time.monotonic()
        assert is_right(ObjectSource(address).open("file"), 1000, MEBIBYTE)
        assert time.monotonic() - started > 1
        assert [request.method for request in proxy.traffic.log] == ["GET", "HEAD", "GET", "GET"]


class TestChanges:
    """A source that is replaced while it is read."""

    OTHER = noise(len(RAW), 1)

    @pytest.fixture(params=[*Tags, "another size"])
    def replace(self, request, server):
        """Replace the file by one that differs in what the server tells of it."""
        other = self.OTHER
        if request.param == "another size":
            server.tags, server.dated, other = Tags.NONE, False, self.OTHER[:-1]
        else:
            server.tags = request.param

        def replace():
            server.put("model/file", other, changed=1.7e9 + 1)

        return replace

    def test_is_noticed_between_reads(self, server, replace):
        reader = opened(server.endpoint)
        assert is_right(reader, 1000, MEBIBYTE)
        replace()
        with pytest.raises(StorageError, match="model/file: changed while it was read") as raised:
            read(reader, 1000, MEBIBYTE)
        assert "plan and run again" in raised.value.hint

    def test_is_noticed_when_asked(self, server, replace):
        reader = opened(server.endpoint)
        assert is_right(reader, 0, 1000)
        reader.check_unchanged()
        replace()
        with pytest.raises(StorageError, match="model/file: changed while it was read"):
            reader.check_unchanged()

    def test_is_noticed_in_the_middle_of_a_read(self, proxy, replace):
        reader = opened(proxy.endpoint)
        assert reader.size == len(RAW)
        first = OnceEach(Fault(kind=Kind.RESET_IN_RESPONSE))

        def plan(request):
            fault = first(request)
            if request.number > 2:
                replace()
            return fault

        proxy.plan = plan
        with pytest.raises(StorageError, match="model/file: changed while it was read"):
            read(reader, 1000, 3 * MEBIBYTE)

    def test_is_noticed_when_the_file_got_shorter_than_what_is_read(self, server):
        reader = opened(server.endpoint)
        assert reader.size == len(RAW)
        server.put("model/file", b"short")
        with pytest.raises(StorageError, match="model/file: changed while it was read"):
            read(reader, 3 * MEBIBYTE, MEBIBYTE)

    def test_is_noticed_since_the_place_was_listed(self, server):
        server.put("model/config.json", b"{}")
        source = ObjectSource(Address(scheme="http", root=server.endpoint.partition("//")[2], path="model"))
        assert source.files() == {"config.json": 2}
        server.put("model/config.json", b"{} ")
        with pytest.raises(StorageError, match=r"model/config.json: changed while it was read"):
            read(source.open("config.json"), 0, 2)

    def test_of_a_file_that_is_gone_is_an_error(self, server):
        reader = opened(server.endpoint)
        assert is_right(reader, 0, 1000)
        del server.files["model/file"]
        with pytest.raises(StorageError, match="model/file: can't read: there is no such file"):
            reader.check_unchanged()

    def test_is_noticed_in_a_real_store(self, seaweedfs, bucket):
        seaweedfs.put(bucket, {"model/file": RAW})
        reader = ObjectSource(Address(scheme="s3", root=bucket, path="model")).open("file")
        assert is_right(reader, 1000, MEBIBYTE)
        seaweedfs.put(bucket, {"model/file": self.OTHER})
        for noticed in (reader.check_unchanged, lambda: read(reader, 1000, MEBIBYTE)):
            with pytest.raises(StorageError, match="model/file: changed while it was read"):
                noticed()


def with_body(response, body):
    return Response(
        status=response.status,
        headers=response.headers | {"Content-Length": str(len(body))},
        body=bytes(body),
    )


def in_chunks(response):
    headers = {name: value for name, value in response.headers.items() if name != "Content-Length"}
    return Response(status=response.status, headers=headers, body=response.body)


class TestBadServers:
    """Answers that aren't what was asked for."""

    @pytest.mark.parametrize(
        ("distort", "message"),
        [
            (
                lambda _: Response(status=200, headers={"Content-Length": "9"}, body=b"x" * 9),
                "whole files only",
            ),
            (lambda r: r.having(Content_Range=f"bytes 5-104/{len(RAW)}"), "doesn't say which bytes"),
            (lambda r: r.having(Content_Range="bytes 0-99/*"), "doesn't say which bytes"),
            (lambda r: r.having(Content_Range="nonsense"), "doesn't say which bytes"),
            (in_chunks, "doesn't say which bytes"),
            (lambda r: with_body(r, bytes(r.body) + b"more"), "more than it was asked for"),
            (lambda r: with_body(r, r.body[:-1]), r"less than it announced \(10 attempts\)"),
            (lambda r: with_body(r, b""), r"less than it announced \(10 attempts\)"),
            (lambda r: r.having(ETag='"other"'), "changed while it was read"),
            (
                lambda r: r.having(Content_Range=f"bytes 2000-102999/{len(RAW) + 1}"),
                "changed while it was read",
            ),
            (lambda _: Response(status=418, headers={"Content-Length": "0"}), "the server answers 418"),
        ],
    )
    def test_are_an_error(self, server, monkeypatch, distort, message):
        monkeypatch.setenv("DISTEXPAND_TIMEOUT", "0.3")
        monkeypatch.setattr(object_reader, "HEAD_BYTES", 1000)
        reader = opened(server.endpoint)
        assert reader.size == len(RAW)
        server.distort = lambda _method, response: distort(response)
        with pytest.raises(StorageError, match=f"model/file: .*{message}"):
            read(reader, 2000, 101_000)

    def test_are_an_error_from_the_first_request_on(self, server):
        server.distort = lambda _method, _response: Response(
            status=200, headers={"Content-Length": "9"}, body=RAW[:9]
        )
        with pytest.raises(
            StorageError, match="model/file: can't read: the server sends whole files only"
        ) as raised:
            read(opened(server.endpoint), 0, 9)
        assert "range requests" in raised.value.hint

    def test_pages_that_say_a_file_is_missing_are_no_files(self, server):
        """Some servers answer everything with success."""
        page = Response(
            status=200, headers={"Content-Length": "9", "Content-Type": "text/html; charset=utf-8"}
        )
        server.distort = lambda _method, response: response if response.status == 206 else page
        source = ObjectSource(Address(scheme="http", root=server.endpoint.partition("//")[2], path="nowhere"))
        assert source.files() == {}
