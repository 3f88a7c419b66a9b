"""The cost model: what can't be beaten, what may only get better, and what its words say."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.engine import fill
from distexpand.errors import UsageError
from distexpand.planning.cost import work as cost_work
from distexpand.planning.cost.demand import Cluster, Constants
from distexpand.planning.cost.model import MEASURED, WHOLE_SHARDS, enough_nodes, estimate_cost, predict
from distexpand.planning.cost.rates import STORAGES, UNLIMITED, Storage
from distexpand.planning.cost.work import ShardWork, plan_work, shard_work
from tests.planning.catalogs import built, catalog_model, models_of
from tests.report.plans import shard

IDEAL = Constants(
    copy=1e15, scale=1e15, blend=1e15, dispatch=0, commit=0, attempt=0, start=0, node_start=0, finish=0
)
MANY_THREADS = 10**6

unhurried = settings(deadline=None, max_examples=50)


def copying(size: int) -> ShardWork:
    blocks = -(-size // 2**24)
    return ShardWork(
        read=size, data=size, zeros=0, copied=size, scaled=0, blended=0, gets=blocks, puts=blocks
    )


def cluster(nodes: int = 1, *, network: float = 1e9, per_node: int = 2, threads: int = 4) -> Cluster:
    return Cluster(nodes=nodes, per_node=per_node, threads=threads, network=network)


shards = st.lists(st.integers(10**6, 10**10).map(copying), min_size=1, max_size=30)
rates = st.floats(1e7, 1e11)
storages = st.builds(Storage, name=st.just("any"), read=rates, write=rates, stream=st.just(math.inf) | rates)


@unhurried
@given(work=shards, nodes=st.integers(1, 32), network=rates, storage=storages)
def test_nothing_is_quicker_than_its_bytes(
    work: list[ShardWork], nodes: int, network: float, storage: Storage
) -> None:
    found = predict(work, cluster(nodes, network=network), storage).seconds
    total = sum(one.size for one in work)
    assert found * (1 + 1e-6) >= total / min(storage.read, storage.write, nodes * network)
    largest = max(one.size for one in work)
    assert found * (1 + 1e-6) >= largest / min(storage.read, storage.write, network)


@unhurried
@given(work=shards, nodes=st.integers(1, 32), network=rates, storage=storages, factor=st.floats(1, 50))
def test_a_faster_link_or_storage_is_never_slower(
    work: list[ShardWork], nodes: int, network: float, storage: Storage, factor: float
) -> None:
    slow = predict(work, cluster(nodes, network=network), storage).seconds
    link = predict(work, cluster(nodes, network=network * factor), storage).seconds
    disk = predict(
        work,
        cluster(nodes, network=network),
        replace(storage, read=storage.read * factor, write=storage.write * factor),
    ).seconds
    assert link <= slow * 1.1
    assert disk <= slow * 1.1


@unhurried
@given(size=st.integers(10**7, 10**10), count=st.integers(1, 60), nodes=st.integers(1, 31), network=rates)
def test_more_nodes_are_never_slower_but_for_their_start(
    size: int, count: int, nodes: int, network: float
) -> None:
    work = [copying(size)] * count
    fewer = predict(work, cluster(nodes, network=network), STORAGES["lustre"])
    more = predict(work, cluster(nodes + 1, network=network), STORAGES["lustre"])
    # A shard that begins with others on a shared storage may end later than one that came after them.
    last = fewer.bounds[WHOLE_SHARDS]
    assert more.seconds - more.start <= (fewer.seconds - fewer.start) * 1.02 + last


@unhurried
@given(work=shards, network=rates)
def test_one_node_that_reads_before_it_writes_is_a_division(work: list[ShardWork], network: float) -> None:
    alone = predict(
        work, cluster(network=network, per_node=1, threads=MANY_THREADS), UNLIMITED, replace(IDEAL, start=3)
    )
    # With more threads than blocks a shard is read whole before it is written: twice its bytes.
    total = sum(one.size for one in work) / network
    assert alone.seconds == pytest.approx(3 + 2 * total)


@unhurried
@given(work=shards, network=rates)
def test_one_node_that_reads_only_is_a_division(work: list[ShardWork], network: float) -> None:
    reading = [replace(one, data=0, zeros=one.size) for one in work]
    alone = predict(reading, cluster(network=network), UNLIMITED, IDEAL)
    assert alone.seconds == pytest.approx(sum(one.read for one in work) / network)
    assert alone.bottleneck == "network in"


def test_stages_add_up_and_the_whole_is_all_of_them() -> None:
    found = predict([copying(10**9)] * 30, cluster(4), STORAGES["nfs"])
    assert found.seconds == found.start + found.transfer + found.waiting + found.finish
    assert found.transfer == pytest.approx(max(found.bounds.values()))
    assert found.bounds["storage read"] == pytest.approx(30 / 1.25)


def test_the_bottleneck_moves_from_link_to_storage_to_whole_shards() -> None:
    work = [copying(5 * 10**9)] * 100
    links = [predict(work, cluster(nodes), STORAGES["lustre"]).bottleneck for nodes in (1, 32)]
    assert links == ["network in", "storage read"]
    assert predict([copying(5 * 10**9)] * 3, cluster(64), UNLIMITED).bottleneck == WHOLE_SHARDS


def test_many_small_shards_are_held_up_by_the_driver() -> None:
    work = [copying(10**6)] * 2000
    assert predict(work, cluster(64), UNLIMITED).bottleneck == "driver"


def test_requests_count_where_a_store_limits_them() -> None:
    work = [replace(copying(10**9), gets=10**6)] * 20
    assert predict(work, cluster(8), STORAGES["gcs"]).bottleneck == "read requests"


def test_threads_hold_up_what_a_single_stream_can_carry() -> None:
    work = [copying(5 * 10**9)] * 100
    cost = estimate_cost(work, cluster(4, network=3e9), STORAGES["s3"], worker_memory=10**8)
    assert cost.prediction.bottleneck == "threads"
    assert any("--threads" in line for line in cost.advice)


def test_too_few_shards_are_advised_to_be_smaller() -> None:
    cost = estimate_cost([copying(5 * 10**9)] * 10, cluster(16), UNLIMITED, worker_memory=10**8)
    assert "--shard-size 600MB" in cost.advice[0]
    assert cost.memory == 10 * 10**8


def test_enough_nodes_are_where_storage_is_full() -> None:
    work = [copying(10**9)] * 400
    assert enough_nodes(work, cluster(network=1e9), STORAGES["lustre"]) in {8, 16}
    cost = estimate_cost(work, cluster(64), STORAGES["lustre"], worker_memory=1)
    assert any("nodes do as well" in line for line in cost.advice)


def test_a_disk_of_one_machine_has_one_node() -> None:
    assert predict([copying(10**9)], cluster(), STORAGES["nvme"]).bottleneck != "network in"
    with pytest.raises(UsageError, match="one machine's own disk"):
        predict([copying(10**9)], cluster(2), STORAGES["nvme"])


def test_zeros_cost_nothing_but_on_a_store_without_holes() -> None:
    found = shard_work(shard(1, 1, [("zero", 4096, 0), ("copy", 64, 0)]))
    assert (found.read, found.zeros, found.copied) == (64, 4096, 64)
    zeros = [replace(copying(10**9), read=0, data=0, copied=0, gets=0, zeros=10**9)] * 4
    assert predict(zeros, cluster(), STORAGES["lustre"], IDEAL).bounds["network out"] == 0
    assert predict(zeros, cluster(), STORAGES["s3"], IDEAL).bounds["network out"] == 4


def test_work_counts_what_operations_read() -> None:
    found = shard_work(shard(1, 1, [("scale", 64, 0), ("blend", 32, 0)]))
    assert found.read == 128 + 32 + 64
    assert (found.scaled, found.blended, found.gets) == (64, 64, 3)


def test_transforms_are_read_in_the_steps_that_are_counted() -> None:
    assert cost_work.STEP_BYTES == fill.STEP_BYTES


def test_very_many_shards_are_stepped_over_with_little_loss() -> None:
    work = [copying(10**9)] * 4000
    found = predict(work, cluster(32), UNLIMITED, replace(MEASURED, dispatch=0.001, commit=0.001))
    assert found.bounds["network in"] <= found.seconds - found.start <= found.bounds["network in"] * 1.1


def test_a_plan_is_its_shards_in_order() -> None:
    recipe = "slices:\n- sources: [{model: a, layer_range: [0, 3]}]\nmerge_method: passthrough\n"
    plan = built(recipe, models_of(catalog_model("a")), shard_size=500).plan
    work = plan_work(plan)
    assert [one.size for one in work] == [one.size for one in plan.shards]
    assert sum(one.copied for one in work) < sum(one.data for one in work)


@unhurried
@given(nodes=st.integers(1, 16), kind=st.sampled_from(sorted(set(STORAGES) - {"nvme"})))
def test_json_has_numbers_or_null(nodes: int, kind: str) -> None:
    cost = estimate_cost([copying(10**9)] * 9, cluster(nodes), STORAGES[kind], worker_memory=1)
    document = cost.to_json()
    assert document["storage"]["read"] is None or document["storage"]["read"] > 0
    assert document["seconds"]["total"] == cost.prediction.seconds >= MEASURED.start
    assert 0 < document["efficiency"] <= 1.01
