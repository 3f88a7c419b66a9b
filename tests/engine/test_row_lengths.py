"""Low-rank additions whose rows are brought to a length: numpy's bits, wherever they are cut."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

np = pytest.importorskip("numpy", reason="needs pip install 'distexpand[torch]'")
torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")

from distexpand.engine import fill as fill_module  # noqa: E402
from distexpand.engine import row_lengths  # noqa: E402
from distexpand.engine.blocks import slice_operation  # noqa: E402
from distexpand.engine.fill import Workspace  # noqa: E402
from distexpand.formats.dtypes import DType  # noqa: E402
from distexpand.planning.operations import source_terms  # noqa: E402
from distexpand.verifying.plain import fill_plain, plain_bytes  # noqa: E402
from tests.engine.matrices import Addition, addition, expected, random_addition  # noqa: E402
from tests.engine.test_low_rank import FACTORS, SPECIAL, WEIGHTS, by_blocks  # noqa: E402


@pytest.fixture
def defined_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the rows that were computed by the definition."""
    counted: list[int] = []
    defined = row_lengths._defined

    def counting(operation: object, rows: object, index: int, right: object) -> object:
        counted.append(index)
        return defined(operation, rows, index, right)  # type: ignore[arg-type]

    monkeypatch.setattr(row_lengths, "_defined", counting)
    return counted


@pytest.mark.parametrize("dtypes", list(itertools.product(WEIGHTS, FACTORS, WEIGHTS)), ids=str)
def test_numpy_makes_the_same_of_whole_matrices(
    dtypes: tuple[DType, DType, DType], defined_rows: list[int]
) -> None:
    weight, factor, target = dtypes
    made = random_addition(
        1, 90, 130, 16, scaling=0.7, lengths=True, dtypes=(weight, factor, DType.F32), target=target
    )
    assert by_blocks(made) == expected(made)
    assert len(defined_rows) == 90 if target is DType.F64 else len(defined_rows) < 9


def test_every_row_has_its_length() -> None:
    made = random_addition(4, 50, 70, 8, lengths=True, target=DType.F64)
    rows = np.frombuffer(by_blocks(made)).reshape(50, 70)
    assert np.allclose(np.linalg.norm(rows, axis=1), made.magnitude, rtol=1e-14)


@pytest.mark.parametrize("target", WEIGHTS, ids=lambda dtype: dtype.value)
def test_special_numbers(target: DType) -> None:
    generator = np.random.default_rng(2)
    weight = np.array(SPECIAL * 10).reshape(13, 10)
    pieces = {"weight": weight, "a": generator.normal(size=(3, 10)), "b": generator.normal(size=(13, 3))}
    pieces["magnitude"] = np.array(SPECIAL)
    plain = {**pieces, "weight": generator.normal(size=(13, 10)), "magnitude": generator.normal(size=13)}
    for start, name, value in itertools.product((pieces, plain), pieces, SPECIAL):
        changed = {**start, name: start[name].copy()}
        changed[name].flat[4] = value
        for scaling in (-0.3, 0.0, 1e300) if start is plain else (-0.3,):
            made = addition(
                **changed, dtypes=(DType.F32, DType.F32, DType.BF16), target=target, scaling=scaling
            )
            assert by_blocks(made) == expected(made) == plain_bytes(made.operation, made.readers)


@pytest.mark.parametrize("target", FACTORS, ids=lambda dtype: dtype.value)
def test_rows_that_nearly_cancel_have_signs_and_lengths_of_their_own(target: DType) -> None:
    """A weight close to what the adapter takes away from it: errors of any order of adding would show."""
    made = random_addition(3, 60, 90, 24, dtypes=(DType.F32,) * 3)
    weight = (-2 * (made.b @ made.a)).astype(np.float32).astype(np.float64)
    for magnitude in (np.full(60, 1.0), np.full(60, 2.0**-140), np.zeros(60), np.full(60, -3e38)):
        made = addition(weight, made.a, made.b, magnitude=magnitude, dtypes=(DType.F32,) * 3, target=target)
        assert by_blocks(made) == expected(made)


@st.composite
def additions(draw: st.DrawFn) -> Addition:
    return random_addition(
        draw(st.integers(0, 1000)),
        draw(st.integers(1, 12)),
        draw(st.integers(1, 12)),
        draw(st.integers(1, 5)),
        lengths=True,
        dtypes=tuple(draw(st.sampled_from(kinds)) for kinds in (WEIGHTS, FACTORS, FACTORS)),
        target=draw(st.sampled_from(WEIGHTS)),
        scaling=draw(st.sampled_from([1.0, -0.5, 0.7071, 16.0])),
    )


@given(additions(), st.integers(1, 30), st.integers(1, 20), st.integers(1, 60), st.integers(1, 40))
@settings(deadline=None)
def test_any_cut_gives_the_same_bits(made: Addition, piece: int, step: int, tile: int, product: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fill_module, "STEP_BYTES", 8 * step)
        patch.setattr(row_lengths, "TILE_ELEMENTS", tile)
        patch.setattr(row_lengths, "FACTOR_ELEMENTS", product)
        assert by_blocks(made, 8 * piece) == expected(made)


@given(additions(), st.data())
@settings(deadline=None)
def test_any_part_is_that_of_the_plain_path_and_reads_what_it_says(
    made: Addition, data: st.DataObject
) -> None:
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
    for source, offset, count in source_terms(part):
        assert 8 * source <= offset < offset + count <= made.readers[source].size


def test_a_factor_that_is_held_is_read_once() -> None:
    first, second = (random_addition(seed, 40, 50, 4, lengths=True) for seed in (5, 6))
    workspace = Workspace(1 << 16)
    for made in (first, second, first):
        before = made.readers[1].reads
        assert by_blocks(made, 800, workspace) == expected(made)
        assert made.readers[1].reads - before == made.a.size * 4


@pytest.mark.parametrize("target", FACTORS, ids=lambda dtype: dtype.value)
@pytest.mark.parametrize("order", ["backwards", "less exactly"])
def test_the_order_in_which_a_library_adds_is_not_seen(
    order: str, target: DType, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = random_addition(3, 60, 300, 24, lengths=True, target=target, dtypes=(DType.F32,) * 3)
    multiply, norm = torch.mm, torch.linalg.vector_norm

    def otherwise(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        if order == "backwards":
            return multiply(left.flip(1), right.flip(0))
        return multiply(left, right) + left.abs() @ right.abs() * 24 * 2.0**-53

    def longer(values: torch.Tensor, *, dim: int) -> torch.Tensor:
        if order == "backwards":
            return norm(values.flip(dim), dim=dim)
        return norm(values, dim=dim) * (1 + values.shape[dim] * 2.0**-54)

    whole = expected(made)
    monkeypatch.setattr(torch, "mm", otherwise)
    monkeypatch.setattr(torch.linalg, "vector_norm", longer)
    assert by_blocks(made) == whole
