"""Plans with low-rank additions are written, read and checked like others."""

from dataclasses import replace

import pytest

from distexpand.engine.blocks import slice_operation
from distexpand.engine.space import peak_memory_bytes
from distexpand.engine.transforms import needs_torch
from distexpand.errors import UsageError
from distexpand.formats.dtypes import DType
from distexpand.formats.header import encode_header
from distexpand.planning.check import check_plan
from distexpand.planning.codec.plans import decode_plan, encode_plan
from distexpand.planning.cost.work import shard_work
from distexpand.planning.model import Plan, ShardPlan, SourceFile
from distexpand.planning.operations import AddLowRank, Term, source_terms
from distexpand.report.summary import _written_by_kind

ROWS, COLUMNS, RANK = 6, 10, 2
TERMS = {
    "term": Term(source=0, source_offset=100, dtype=DType.BF16),
    "a": Term(source=1, source_offset=80, dtype=DType.F32),
    "b": Term(source=1, source_offset=0, dtype=DType.F16),
}


LENGTHS = {"magnitude": Term(source=2, source_offset=8, dtype=DType.F32)}


def plan_of(*operations: AddLowRank) -> Plan:
    header = encode_header([("w", DType.BF16, (ROWS, COLUMNS))], {})
    placed = [replace(operation, offset=len(header) + operation.offset) for operation in operations]
    size = len(header) + ROWS * COLUMNS * 2
    return Plan(
        recipe="",
        sources=(
            SourceFile(model="a", path="model.safetensors", size=220, pin=""),
            SourceFile(model="b", path="adapter_model.safetensors", size=160, pin=""),
            SourceFile(model="b", path="lengths.safetensors", size=8 + ROWS * 4, pin=""),
        ),
        shards=(ShardPlan(name="model.safetensors", header=header, size=size, operations=tuple(placed)),),
        texts=(),
        copies=(),
        layers=(),
        layer_prefix="",
        parameters=0,
        source_parameters=0,
        locations=(("a", "/a"), ("b", "/b")),
    )


def addition(**changes: object) -> AddLowRank:
    options: dict[str, object] = {
        "offset": 0,
        "length": ROWS * COLUMNS * 2,
        **TERMS,
        "rows": ROWS,
        "columns": COLUMNS,
        "rank": RANK,
        "scaling": 0.5,
        "target": DType.BF16,
    }
    return AddLowRank(**options | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{}, {"transposed": True}, LENGTHS], ids=["", "transposed", "lengths"])
def test_written_and_read_again(changes: dict[str, object]) -> None:
    whole = addition(**changes)
    for operations in ([whole], [slice_operation(whole, 0, 34), slice_operation(whole, 34, 86)]):
        plan = plan_of(*operations)  # type: ignore[arg-type]
        check_plan(plan)
        assert decode_plan(encode_plan(plan), origin="plan") == plan


def test_a_part_reads_its_part_of_w_and_the_rows_that_it_makes() -> None:
    part = slice_operation(addition(), 2 * 25, 2 * 10)
    assert source_terms(part) == ((0, 150, 20), (1, 2 * RANK * 2, 2 * RANK * 2), (1, 80, 80))
    part = slice_operation(addition(transposed=True), 2 * 25, 2 * 10)
    assert source_terms(part) == ((0, 150, 20), (1, 80, RANK * ROWS * 4), (1, 0, RANK * COLUMNS * 2))


def test_a_part_of_rows_with_lengths_reads_them_whole() -> None:
    part = slice_operation(addition(**LENGTHS), 2 * 25, 2 * 10)
    w, b, a, *more = source_terms(part)
    assert (w, b, a) == source_terms(slice_operation(addition(), 2 * 25, 2 * 10))
    assert more == [(2, 8 + 4 * 2, 4 * 2), (0, 100 + 2 * 20, 2 * 5), (0, 100 + 2 * 35, 2 * 5)]
    assert source_terms(addition(**LENGTHS))[3:] == ((2, 8, 4 * ROWS),)


def test_its_cost_and_its_memory() -> None:
    plan = plan_of(addition())
    work = shard_work(plan.shards[0])
    assert work.read == 120 + RANK * (2 * ROWS + 4 * COLUMNS)
    assert work.blended == 2 * 120 + 120 * RANK // 16
    assert (work.scaled, work.copied, work.gets) == (0, 0, 3)
    assert shard_work(plan_of(addition(transposed=True)).shards[0]).gets == 2 + RANK
    assert needs_torch(plan)
    assert _written_by_kind(plan.shards[0].operations) == {"transformed": 120}
    more = plan_of(addition(rank=RANK + 1000))
    added = peak_memory_bytes(more, threads=3) - peak_memory_bytes(plan, threads=3)
    assert added == 3 * 1000 * COLUMNS * (4 + 8)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rank": 0}, "doesn't fit its tensor"),
        ({"columns": 0}, "doesn't fit its tensor"),
        ({"rows": ROWS - 1}, "doesn't fit its tensor"),
        ({"skipped": 1}, "doesn't fit its tensor"),
        ({"skipped": -1}, "doesn't fit its tensor"),
        ({"rows": 10**9, "skipped": 10**9}, "reads beyond its source"),
        ({"scaling": float("inf")}, "doesn't fit its tensor"),
        ({"scaling": float("nan")}, "doesn't fit its tensor"),
        ({"target": DType.F16}, "doesn't fit its tensor"),
        ({"term": replace(TERMS["term"], dtype=DType.I16)}, "doesn't fit its tensor"),
        ({"term": replace(TERMS["term"], source_offset=102)}, "reads beyond its source"),
        ({"a": replace(TERMS["a"], dtype=DType.F64, source_offset=0)}, "doesn't fit its tensor"),
        ({"b": replace(TERMS["b"], dtype=DType.F8_E4M3)}, "doesn't fit its tensor"),
        ({"a": replace(TERMS["a"], source_offset=84)}, "reads beyond its source"),
        ({"b": replace(TERMS["b"], source_offset=140)}, "reads beyond its source"),
        ({"b": replace(TERMS["b"], source=3)}, "reads beyond its source"),
        ({"rank": RANK + 1}, "reads beyond its source"),
        (LENGTHS | {"transposed": True}, "doesn't fit its tensor"),
        ({"magnitude": replace(LENGTHS["magnitude"], dtype=DType.F64)}, "doesn't fit its tensor"),
        ({"magnitude": replace(LENGTHS["magnitude"], source_offset=12)}, "reads beyond its source"),
    ],
)
def test_what_is_unsound_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_plan(plan_of(addition(**changes)))


@pytest.mark.parametrize("transposed", [False, True])
def test_matrices_that_only_look_transposed_are_refused(transposed: bool) -> None:
    """A is (rank, columns) as it is and (rank, rows) transposed: here there is room for one of them."""
    exact = addition(
        a=Term(source=1, source_offset=160 - RANK * 4 * (ROWS if transposed else COLUMNS), dtype=DType.F32),
        transposed=transposed,
    )
    check_plan(plan_of(exact))
    if transposed:
        with pytest.raises(UsageError, match="reads beyond its source"):
            check_plan(plan_of(replace(exact, transposed=False)))


def test_a_part_whose_row_begins_before_its_source_is_refused() -> None:
    """The part's own elements are there, but not those that its row's length takes."""
    first = addition(length=2 * 5, **LENGTHS)
    rest = addition(
        offset=2 * 5,
        length=2 * (ROWS * COLUMNS - 5),
        skipped=5,
        **LENGTHS | {"term": Term(source=0, source_offset=8, dtype=DType.BF16)},
    )
    assert source_terms(rest)[0][1] >= 0
    with pytest.raises(UsageError, match="reads beyond its source"):
        check_plan(plan_of(first, rest))


def test_a_number_in_place_of_a_truth_is_refused() -> None:
    raw = encode_plan(plan_of(addition(transposed=True)))
    assert raw.count(b"true,0]") == 1
    with pytest.raises(UsageError, match="damaged plan"):
        decode_plan(raw.replace(b"true,0]", b"1,0]"), origin="plan")
