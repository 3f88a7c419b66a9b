"""The cost model against the simulation, which shares links and storage by progressive filling."""

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.cluster_simulation import Faults, simulate
from distexpand.planning.cost.demand import Cluster, demand
from distexpand.planning.cost.model import MEASURED
from distexpand.planning.cost.rates import Storage
from distexpand.planning.cost.schedule import makespan
from distexpand.planning.cost.work import ShardWork

TOLERANCE = 0.1


def _work(size: int, data: int, scaled: int) -> ShardWork:
    blocks = -(-size // 2**24)
    return ShardWork(
        read=data,
        data=data,
        zeros=size - data,
        copied=data - scaled,
        scaled=scaled,
        blended=0,
        gets=blocks,
        puts=blocks,
    )


@st.composite
def works(draw: st.DrawFn) -> list[ShardWork]:
    """Shards of about one size, as packing makes them, some partly zeros or scaled."""
    most = draw(st.integers(10**8, 10**10))
    found = []
    for share in draw(st.lists(st.floats(0.6, 1.0), min_size=1, max_size=24)):
        size = int(most * share)
        data = int(size * draw(st.sampled_from([1.0, 1.0, 1.0, 0.7])))
        found.append(_work(size, data, int(data * draw(st.sampled_from([0.0, 0.0, 0.3])))))
    return found


rates = st.floats(1e8, 2e10)
clusters = st.builds(
    Cluster, nodes=st.integers(1, 8), per_node=st.integers(1, 3), threads=st.just(4), network=rates
)
storages = st.builds(
    Storage, name=st.just("any"), read=rates, write=rates, gets=st.just(5500.0), puts=st.just(3500.0)
)


@settings(deadline=None, max_examples=40)
@given(work=works(), cluster=clusters, storage=storages)
def test_model_and_simulation_agree_without_faults(
    work: list[ShardWork], cluster: Cluster, storage: Storage
) -> None:
    demands = [demand(one, cluster, storage, MEASURED) for one in work]
    modelled = makespan(demands, cluster, MEASURED)
    simulated = simulate(work, cluster, storage).seconds
    assert abs(modelled / simulated - 1) <= TOLERANCE


@settings(deadline=None, max_examples=15)
@given(work=works(), cluster=clusters, storage=storages, seed=st.integers(0, 9))
def test_faults_end_too_and_every_lost_attempt_is_made_up_for(
    work: list[ShardWork], cluster: Cluster, storage: Storage, seed: int
) -> None:
    calm = simulate(work, cluster, storage)
    faults = Faults(slow_share=0.3, deaths=0.1 / calm.seconds, notice=0.1 * calm.seconds, seed=seed)
    rough = simulate(work, cluster, storage, faults=faults)
    assert calm.attempts == len(work)
    assert len(work) <= rough.attempts <= len(work) + rough.died + rough.doubled
    if not rough.died:
        assert rough.seconds >= calm.seconds * 0.95
