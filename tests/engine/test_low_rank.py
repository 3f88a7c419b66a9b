"""Low-rank additions: numpy's bits, wherever they are cut and in whatever order a library adds."""

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

np = pytest.importorskip("numpy", reason="needs pip install 'distexpand[torch]'")
torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")

from distexpand.engine import fill as fill_module  # noqa: E402
from distexpand.engine import low_rank  # noqa: E402
from distexpand.engine.blocks import slice_operation  # noqa: E402
from distexpand.engine.fill import Workspace, fill_block  # noqa: E402
from distexpand.formats.dtypes import DType  # noqa: E402
from distexpand.formats.header import encode_header, parse_header  # noqa: E402
from distexpand.planning.operations import source_terms  # noqa: E402
from distexpand.verifying.plain import fill_plain, plain_bytes  # noqa: E402
from tests.engine.matrices import Addition, addition, expected, moved, random_addition  # noqa: E402
from tests.engine.shards import blocks_of  # noqa: E402

FACTORS = (DType.F16, DType.BF16, DType.F32)
WEIGHTS = (*FACTORS, DType.F64)
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-45, 6e-8, 65504.0, 65519.0, 3.4e38, 1.0, 1e-3]


def by_blocks(made: Addition, piece_bytes: int = 1 << 20, workspace: Workspace | None = None) -> bytes:
    """Return the operation's bytes as the engine makes them."""
    operation = made.operation
    raw = encode_header([("t", operation.target, (operation.length * 8 // operation.target.bits,))], {})
    header = parse_header(raw, file_size=len(raw) + operation.length, origin="t")
    workspace = workspace or Workspace(piece_bytes)
    result = bytearray()
    for block in blocks_of(header, [moved(made, len(raw)).operation], piece_bytes=piece_bytes):
        runs = fill_block(block, made.readers, workspace)
        assert [(run.start, run.length) for run in runs] == [(0, block.length)]
        result += workspace.buffer[: block.length]
    return bytes(result)


@pytest.fixture
def doubts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the elements of each tile that were computed by the definition."""
    counted: list[int] = []
    defined = low_rank._defined

    def counting(operation: object, factors: object, weights: object, indices: object) -> object:
        counted.append(len(indices))  # type: ignore[arg-type]
        return defined(operation, factors, weights, indices)  # type: ignore[arg-type]

    monkeypatch.setattr(low_rank, "_defined", counting)
    return counted


@pytest.mark.parametrize("transposed", [False, True], ids=["as it is", "transposed"])
@pytest.mark.parametrize("dtypes", list(itertools.product(WEIGHTS, FACTORS, WEIGHTS)), ids=str)
def test_numpy_makes_the_same_of_whole_matrices(
    dtypes: tuple[DType, DType, DType], transposed: bool, doubts: list[int]
) -> None:
    weight, factor, target = dtypes
    options = {"dtypes": (weight, factor, DType.F32), "target": target, "transposed": transposed}
    made = random_addition(1, 90, 130, 16, scaling=0.7, **options)
    assert by_blocks(made) == expected(made)
    if DType.F64 not in {weight, target}:
        assert sum(doubts) < made.weight.size / 100


@pytest.mark.parametrize("transposed", [False, True], ids=["as it is", "transposed"])
@pytest.mark.parametrize("target", WEIGHTS, ids=lambda dtype: dtype.value)
def test_special_numbers(target: DType, transposed: bool) -> None:
    generator = np.random.default_rng(2)
    weight = np.array(SPECIAL * 10).reshape(13, 10)
    pieces = {"weight": weight, "a": generator.normal(size=(3, 13 if transposed else 10))}
    pieces["b"] = generator.normal(size=(10 if transposed else 13, 3))
    for name, value in itertools.product(pieces, SPECIAL):
        changed = {**pieces, name: pieces[name].copy()}
        changed[name][1, 1] = value
        for scaling in (2.0, -0.3, 0.0, 1e-300, 1e300):
            made = addition(
                **changed,
                dtypes=(DType.F32, DType.F32, DType.BF16),
                target=target,
                transposed=transposed,
                scaling=scaling,
            )
            assert by_blocks(made) == expected(made) == plain_bytes(made.operation, made.readers)


def test_an_adapter_that_does_nothing_changes_nothing_but_the_sign_of_zeros(doubts: list[int]) -> None:
    weight = np.array([[0.0, -0.0, 1.5, -3e-39], [65504.0, -1e-3, np.inf, 3e38]])
    made = addition(weight, np.ones((2, 4)), np.zeros((2, 2)), scaling=-2.0)
    with_zeros = torch.from_numpy(weight + 0.0).bfloat16().view(torch.uint8).numpy().tobytes()
    assert by_blocks(made) == with_zeros
    assert sum(doubts) <= 2  # infinity and the negative zero


@st.composite
def additions(draw: st.DrawFn) -> Addition:
    return random_addition(
        draw(st.integers(0, 1000)),
        draw(st.integers(1, 12)),
        draw(st.integers(1, 12)),
        draw(st.integers(1, 5)),
        dtypes=tuple(draw(st.sampled_from(kinds)) for kinds in (WEIGHTS, FACTORS, FACTORS)),
        target=draw(st.sampled_from(WEIGHTS)),
        scaling=draw(st.sampled_from([1.0, -0.5, 0.7071, 16.0])),
        transposed=draw(st.booleans()),
    )


@given(additions(), st.integers(1, 30), st.integers(1, 20), st.integers(1, 60), st.integers(1, 40))
@settings(deadline=None)
def test_any_cut_gives_the_same_bits(made: Addition, piece: int, step: int, tile: int, factor: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fill_module, "STEP_BYTES", 8 * step)
        patch.setattr(low_rank, "TILE_ELEMENTS", tile)
        patch.setattr(low_rank, "FACTOR_ELEMENTS", factor)
        assert by_blocks(made, 8 * piece) == expected(made)


@given(additions(), st.data())
@settings(deadline=None)
def test_any_part_is_that_of_the_plain_path(made: Addition, data: st.DataObject) -> None:
    operation, size = made.operation, made.operation.target.bits // 8
    start = size * data.draw(st.integers(0, operation.length // size - 1))
    length = size * data.draw(st.integers(1, (operation.length - start) // size))
    whole = expected(made)
    part = slice_operation(operation, start, length)
    assert plain_bytes(part, made.readers) == whole[start : start + length]
    target = bytearray(length)
    fill_plain(operation, start, memoryview(target), made.readers)
    assert target == whole[start : start + length]
    assert by_blocks(replace(made, operation=part)) == whole[start : start + length]


@given(additions(), st.data())
def test_what_it_reads_lies_in_its_sources(made: Addition, data: st.DataObject) -> None:
    operation, size = made.operation, made.operation.target.bits // 8
    start = size * data.draw(st.integers(0, operation.length // size - 1))
    length = size * data.draw(st.integers(1, (operation.length - start) // size))
    for source, offset, count in source_terms(slice_operation(operation, start, length)):
        assert 8 * source <= offset <= offset + count <= made.readers[source].size


@pytest.mark.parametrize("target", FACTORS, ids=lambda dtype: dtype.value)
@pytest.mark.parametrize("order", ["backwards", "in halves", "less exactly"])
def test_the_order_in_which_a_library_adds_is_not_seen(
    order: str, target: DType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it seen, then on numbers that cancel: a weight close to what the adapter takes away from it."""
    made = random_addition(3, 200, 300, 24, target=target, dtypes=(DType.F32, DType.F32, DType.F32))
    made = addition(-2 * (made.b @ made.a), made.a, made.b, dtypes=(DType.F32,) * 3, target=target)
    multiply = torch.mm

    def otherwise(left: torch.Tensor, right: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
        if order == "backwards":
            return multiply(left.flip(1), right.flip(0), out=out)
        if order == "in halves":
            return torch.add(left[:, :12] @ right[:12], left[:, 12:] @ right[12:], out=out)
        multiply(left, right, out=out)
        return out.add_(left.abs() @ right.abs(), alpha=24 * 2.0**-53)  # the most that an order may err

    monkeypatch.setattr(torch, "mm", otherwise)
    assert by_blocks(made) == expected(made)


@given(st.integers(0, 10**6), st.sampled_from(FACTORS), st.booleans())
@settings(deadline=None)
def test_numbers_in_the_middle_between_two(seed: int, target: DType, transposed: bool) -> None:
    """Powers of two and small factors: many results are ties, and many a rounding error away from one."""
    generator = np.random.default_rng(seed)
    weight = 1 + generator.integers(0, 128, (8, 8)) / 128
    a = generator.choice([1.0, 3.0, 2.0**-40, 0.0], (4, 8))
    b = np.ldexp(generator.choice([1.0, -1.0, 1 + 2.0**-20], (8, 4)), -generator.integers(8, 26, (8, 4)))
    made = addition(weight, a, b, target=target, transposed=transposed, scaling=1.0)
    assert by_blocks(made) == expected(made) == plain_bytes(made.operation, made.readers)


def test_a_factor_that_is_held_is_read_once_and_never_taken_for_another() -> None:
    first, second = (random_addition(seed, 40, 50, 4) for seed in (5, 6))
    workspace = Workspace(1 << 16)
    for made in (first, second, first):
        before = made.readers[1].reads
        assert by_blocks(made, 800, workspace) == expected(made)
        assert made.readers[1].reads - before == made.a.size * 4


def test_every_processor_gives_the_same_bits() -> None:
    """torch and its matrix library choose kernels by processor; the plainest stand for other machines."""
    program = (
        "import hashlib; from tests.engine.test_low_rank import *\n"
        "whole = hashlib.sha256()\n"
        "for target, transposed in itertools.product(FACTORS, (False, True)):\n"
        "    made = random_addition(7, 301, 517, 33, target=target, transposed=transposed)\n"
        "    whole.update(by_blocks(made, 8 * 5003))\n"
        "print(whole.hexdigest())\n"
    )
    plainest = {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    }
    results = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | changes,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for changes in ({}, plainest)
    }
    assert len(results) == 1
