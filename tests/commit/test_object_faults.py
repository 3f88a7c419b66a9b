"""Outputs through bad networks and stores: right, or a clear error and a resume that is right."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from distexpand.commit.committer import OutputMode
from distexpand.errors import DistexpandError, StorageError
from distexpand.storage.address import Address
from distexpand.storage.objects.part_grid import LEAST_PART
from distexpand.storage.s3.attempt import S3Output
from distexpand.storage.s3.names import S3Names
from tests.commit.store_places import Place
from tests.commit.store_runs import QUICK, run_to_store
from tests.storage.contract import noise
from tests.support.fault_proxy import fault_proxy
from tests.support.faults import OF_WRITES, Fault, Kind, RandomFaults
from tests.support.store_environment import set_store_environment

TIMEOUT_SECONDS = 1
RUNS = 8
AT_ONCE = 8


def _proxied(server, proxy, monkeypatch):
    environment = server.environment(proxy.endpoint)
    set_store_environment(monkeypatch, {**environment, "DISTEXPAND_TIMEOUT": str(TIMEOUT_SECONDS)})


@pytest.fixture(params=["s3", "az"])
def server(request):
    return request.getfixturevalue("seaweedfs" if request.param == "s3" else "azurite")


@pytest.fixture
def proxy(server, monkeypatch):
    with fault_proxy(server.endpoint) as proxy:
        _proxied(server, proxy, monkeypatch)
        yield proxy


@pytest.fixture
def new_place(server):
    is_s3 = hasattr(server, "new_bucket")

    def new():
        root = server.new_bucket() if is_s3 else server.new_container()
        return Place(Address(scheme="s3" if is_s3 else "az", root=root, path="out"), server)

    return new


@pytest.mark.parametrize("rate", [0.04, 0.25])
def test_runs_through_random_faults_end_right_or_can_be_resumed(plan, expected, new_place, proxy, rate):
    proxy.plan = RandomFaults(int(rate * 100), rate=rate, kinds=OF_WRITES, hang_seconds=2 * TIMEOUT_SECONDS)
    places = [new_place() for _ in range(RUNS)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        errors = list(pool.map(lambda place: _error_of(plan, place), places))
    assert len(proxy.plan.done) > RUNS
    proxy.plan = lambda _: None
    for place, error in zip(places, errors, strict=True):
        place.assert_no_partial_file(expected)
        if error is not None:
            assert str(place.address) in error.message
            assert "known-to-tests" not in f"{error.message} {error.hint}"
            run_to_store(plan, place.address, mode=OutputMode.RESUME, pace=QUICK)
        place.assert_is(expected)
    assert rate > 0.1 or None in errors


def _error_of(plan, place):
    try:
        run_to_store(plan, place.address)
    except DistexpandError as error:
        return error
    return None


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=Kind.STATUS, status=429, seconds=1),
        Fault(kind=Kind.STATUS, status=503),
        Fault(kind=Kind.FAILED_RESPONSE, status=500),
        Fault(kind=Kind.LOST_RESPONSE),
        Fault(kind=Kind.RESET),
        Fault(kind=Kind.RESET_IN_REQUEST, after=0.7),
        Fault(kind=Kind.HANG, seconds=2 * TIMEOUT_SECONDS),
    ],
    ids=lambda fault: f"{fault.kind.name}{fault.status if fault.kind is Kind.STATUS else ''}",
)
def test_every_request_may_fail_once(plan, expected, new_place, proxy, fault):
    """Each kind of request of a run, the first time that it is made."""
    seen = set()

    def once(request):
        path, _, query = request.target.partition("?")
        # Of what would take long, the same call for another file is the same kind.
        name = "" if fault.seconds >= 1 else path.rsplit("/", 1)[-1][:12]
        kind = (request.method, name, *(part.partition("=")[0] for part in query.split("&")))
        if kind in seen:
            return None
        seen.add(kind)
        return fault

    proxy.plan = once
    place = new_place()
    run_to_store(plan, place.address)
    place.assert_is(expected)
    assert len(seen) >= 5


def test_a_store_that_goes_away_is_told_in_time(plan, new_place, proxy):
    place = new_place()
    proxy.plan = lambda request: Fault(kind=Kind.HANG, seconds=60) if request.number > 30 else None
    started = time.monotonic()
    with pytest.raises(StorageError, match=str(place.address)):
        run_to_store(plan, place.address)
    assert time.monotonic() - started < 90


def test_large_uploads_through_random_faults_are_whole(seaweedfs, monkeypatch):
    raw = noise(5 * LEAST_PART + 77)
    with fault_proxy(seaweedfs.endpoint) as proxy:
        _proxied(seaweedfs, proxy, monkeypatch)
        address = Address(scheme="s3", root=seaweedfs.new_bucket(), path="out")
        output = S3Output(address)
        proxy.plan = RandomFaults(5, rate=0.3, kinds=OF_WRITES, hang_seconds=2 * TIMEOUT_SECONDS)
        step = 3_000_000
        with output.begin("x", len(raw)) as attempt, ThreadPoolExecutor(4) as pool:
            writes = range(0, len(raw), step)
            list(
                pool.map(
                    lambda offset: attempt.write(offset, memoryview(raw)[offset : offset + step]), writes
                )
            )
            attempt.finish()
        assert proxy.plan.done
        proxy.plan = lambda _: None
        assert S3Names(address).give("x", attempt.name, len(raw))
        same = seaweedfs.contents(address.root) == {"out/x": raw}
        assert same
