"""Plans with gathered parts are written, read and checked like others."""

from dataclasses import replace

import pytest

from distexpand.errors import UsageError
from distexpand.planning.check import check_plan
from distexpand.planning.codec.plans import decode_plan, encode_plan
from distexpand.planning.cost.work import shard_work
from distexpand.planning.model import Plan
from distexpand.planning.operations import Copy, Gather
from tests.planning.test_places import gemma, layers


@pytest.fixture(scope="module")
def plan() -> Plan:
    return gemma(layers((0, 3), (1, 4)))[0].plan


def with_gather(plan: Plan, **changes: object) -> Plan:
    shard = plan.shards[0]
    changed = tuple(
        replace(operation, **changes) if isinstance(operation, Gather) else operation  # type: ignore[arg-type]
        for operation in shard.operations
    )
    return replace(plan, shards=(replace(shard, operations=changed),))


def test_written_and_read_again(plan: Plan) -> None:
    assert decode_plan(encode_plan(plan), origin="plan") == plan


def test_its_cost_is_that_of_copying_whole_rows(plan: Plan) -> None:
    work = shard_work(plan.shards[0])
    gathers = [operation for operation in plan.shards[0].operations if isinstance(operation, Gather)]
    rows = sum(operation.length // operation.result_row * operation.row for operation in gathers)
    copies = {
        (op.source, op.source_offset): op.length for op in plan.shards[0].operations if isinstance(op, Copy)
    }
    assert work.read == sum(copies.values()) + rows
    assert work.scaled == work.blended == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parts": (0, 1, 2, 1, 2, 4)}, "gathers parts beyond their row"),
        ({"parts": ()}, "gathers parts beyond their row"),
        ({"part": 0}, "gathers parts beyond their row"),
        ({"source_offset": 10**9}, "reads beyond its source"),
        ({"skipped": 10**9}, "reads beyond its source"),
    ],
)
def test_what_would_read_elsewhere_is_refused(plan: Plan, changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_plan(with_gather(plan, **changes))
