"""Some runs on bad networks; `benchmarks.remote_faults` does hundreds."""

from collections.abc import Iterator

import pytest

from tests.elsewhere.fault_runs import World, case_of, run_case, world
from tests.support.seaweedfs import SeaweedFS

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def servers(seaweedfs: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("faults"), seaweedfs) as started:
        yield started


@pytest.mark.parametrize("seed", range(6))
def test_runs_on_a_bad_network_end_right_or_say_why_not(servers: World, seed: int) -> None:
    told = run_case(servers, case_of(seed))
    assert told.wrong == "", told
