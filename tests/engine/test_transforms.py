"""Transforms: the same bits however they are cut, on whatever processor, and those of the plain path."""

import ctypes
import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")

from distexpand.engine import fill as fill_module  # noqa: E402
from distexpand.engine import transforms  # noqa: E402
from distexpand.engine.buffers import PAGE_BYTES  # noqa: E402
from distexpand.engine.fill import Workspace, fill_block  # noqa: E402
from distexpand.engine.quiet_nan import nan_bits  # noqa: E402
from distexpand.engine.torch_library import torch_dtype  # noqa: E402
from distexpand.formats.dtypes import DType  # noqa: E402
from distexpand.formats.header import encode_header, parse_header  # noqa: E402
from distexpand.planning.operations import Blend, Operation, Scale, Term, terms_of  # noqa: E402
from distexpand.verifying.plain import plain_bytes  # noqa: E402
from tests.engine.shards import FACTORS, FLOATS, MemoryReader, blocks_of  # noqa: E402

ELEMENTS = 4099
SPECIAL = [
    0.0,
    -0.0,
    float("inf"),
    -float("inf"),
    float("nan"),
    1e-40,
    -1e-45,
    6e-8,
    65504.0,
    65520.0,
    3.4e38,
]


def source_bytes(dtype: DType, seed: int) -> bytes:
    """Return random bits, so that NaNs of every kind, infinities and subnormals occur, and special values."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randint(0, 256, (ELEMENTS * dtype.bits // 8,), dtype=torch.uint8, generator=generator)
    values = raw.view(getattr(torch, dtype.torch_name or ""))
    ordinary = torch.randint(-(2**23), 2**23, values[1::2].shape, generator=generator) / 2**22
    values[1::2] = ordinary.to(values.dtype)
    values[: len(SPECIAL)] = torch.tensor(SPECIAL, dtype=torch.float64).to(values.dtype)
    return values.view(torch.uint8).numpy().tobytes()


def scale(source: DType, compute: DType, target: DType, factor: float) -> Scale:
    return Scale(
        offset=0,
        length=ELEMENTS * target.bits // 8,
        term=Term(source=0, source_offset=0, dtype=source),
        factor=factor,
        compute=compute,
        target=target,
    )


def blend(source: DType, compute: DType, target: DType, *, normalize: bool) -> Blend:
    return Blend(
        offset=0,
        length=ELEMENTS * target.bits // 8,
        terms=tuple(Term(source=index, source_offset=0, dtype=source) for index in range(3)),
        weights=(0.3, -1.7, 0.9),
        normalize=normalize,
        compute=compute,
        target=target,
    )


def every_operation() -> list[Operation]:
    made: list[Operation] = []
    for dtypes in itertools.product(FLOATS, FLOATS, FLOATS):
        made += [scale(*dtypes, factor) for factor in FACTORS]
        made += [blend(*dtypes, normalize=normalize) for normalize in (False, True)]
    return made


def readers_of(operation: Scale | Blend) -> list[MemoryReader]:
    count = 1 if isinstance(operation, Scale) else len(operation.terms)
    dtype = operation.term.dtype if isinstance(operation, Scale) else operation.terms[0].dtype
    return [MemoryReader(source_bytes(dtype, seed)) for seed in range(count)]


def by_blocks(operation: Scale | Blend, readers: list[MemoryReader], piece_bytes: int) -> bytes:
    """Return the operation's bytes as the engine makes them."""
    raw = encode_header([("t", operation.target, (operation.length * 8 // operation.target.bits,))], {})
    header = parse_header(raw, file_size=len(raw) + operation.length, origin="t")
    moved = type(operation)(**{**{n: getattr(operation, n) for n in operation.__slots__}, "offset": len(raw)})
    workspace = Workspace(piece_bytes)
    made = bytearray()
    for block in blocks_of(header, [moved], piece_bytes=piece_bytes):
        runs = fill_block(block, readers, workspace)
        assert [(run.start, run.length) for run in runs] == [(0, block.length)]
        made += workspace.buffer[: block.length]
    return bytes(made)


@pytest.mark.parametrize("source", FLOATS, ids=lambda dtype: dtype.value)
def test_every_combination_equals_the_plain_path_bit_for_bit(
    source: DType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill_module, "STEP_BYTES", 1000 * 8)
    monkeypatch.setattr(transforms, "STAGED_ELEMENTS", 333)
    for operation in every_operation():
        first = operation.term if isinstance(operation, Scale) else operation.terms[0]
        if first.dtype is source:
            readers = readers_of(operation)
            assert by_blocks(operation, readers, 8 * 1111) == plain_bytes(operation, readers), operation


@given(st.sampled_from(every_operation()), st.integers(1, 500), st.integers(1, 100), st.integers(1, 90))
@settings(deadline=None, max_examples=60)
def test_any_cut_gives_the_same_bits(operation: Scale | Blend, piece: int, step: int, elements: int) -> None:
    readers = readers_of(operation)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fill_module, "STEP_BYTES", 8 * step)
        patch.setattr(transforms, "STAGED_ELEMENTS", elements)
        assert by_blocks(operation, readers, 8 * piece) == plain_bytes(operation, readers)


class PageReader(MemoryReader):
    """A source that wants whole pages to where memory and file agree modulo the page."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.alignment = PAGE_BYTES
        self.wholly = 0

    def read_into(self, offset: int, buffer: memoryview) -> None:
        address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
        self.wholly += (address - offset) % PAGE_BYTES == 0 and offset % PAGE_BYTES == 0
        super().read_into(offset, buffer)


@pytest.mark.parametrize("before", [0, 6, 8, PAGE_BYTES - 8, PAGE_BYTES, PAGE_BYTES + 48])
@pytest.mark.parametrize(
    "operation",
    [
        scale(DType.BF16, DType.BF16, DType.BF16, 0.3),
        scale(DType.F32, DType.F32, DType.BF16, 1.0),
        scale(DType.BF16, DType.BF16, DType.F64, 1.0),
        blend(DType.F16, DType.F32, DType.F16, normalize=True),
    ],
    ids=["in place", "narrower", "wider", "several terms"],
)
def test_whole_pages_are_read(operation: Scale | Blend, before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill_module, "LEAST_BYTES", 1)
    monkeypatch.setattr(fill_module, "STEP_BYTES", 1000 * 8)
    expected = by_blocks(operation, readers_of(operation), 8 * 900)
    later = [replace(term, source_offset=before) for term in terms_of(operation)]
    moved = (
        replace(operation, term=later[0])
        if isinstance(operation, Scale)
        else replace(operation, terms=tuple(later))
    )
    readers = [PageReader(bytes(before) + bytes(reader.data)) for reader in readers_of(operation)]
    assert by_blocks(moved, readers, 8 * 900) == expected
    assert all(reader.wholly for reader in readers) or before % 8


@pytest.mark.parametrize("dtypes", list(itertools.product(FLOATS, FLOATS, FLOATS)), ids=str)
def test_finite_values_equal_the_direct_expression(dtypes: tuple[DType, DType, DType]) -> None:
    source, compute, target = dtypes
    as_torch = {dtype: getattr(torch, dtype.torch_name or "") for dtype in FLOATS}
    operations = [scale(*dtypes, -0.7071), blend(*dtypes, normalize=True)]
    for operation in operations:
        readers = readers_of(operation)
        x, *others = (
            torch.frombuffer(reader.data, dtype=as_torch[source]).to(as_torch[compute]) for reader in readers
        )
        if isinstance(operation, Scale):
            expected = x * -0.7071
        else:
            wide = torch.float64 if compute is DType.F64 else torch.float32
            weights = torch.tensor([0.3, -1.7, 0.9], dtype=wide)
            total = torch.zeros(len(x), dtype=wide)
            for term, weight in zip((x, *others), weights.double(), strict=True):
                total = (total.double() + term.double() * weight).to(wide)
            expected = (total / weights.sum()).to(as_torch[compute])
        expected = expected.to(as_torch[target])
        found = torch.frombuffer(bytearray(plain_bytes(operation, readers)), dtype=as_torch[target])
        assert torch.equal(torch.isnan(found), torch.isnan(expected))
        assert torch.equal(torch.nan_to_num(found), torch.nan_to_num(expected))
        if isinstance(operation, Scale):
            zeros = expected == 0
            assert torch.equal(torch.signbit(found[zeros]), torch.signbit(expected[zeros]))


@pytest.mark.parametrize("target", FLOATS, ids=lambda dtype: dtype.value)
def test_there_is_one_nan(target: DType) -> None:
    operation = scale(DType.F32, DType.F32, target, 2.0)
    values = torch.frombuffer(
        bytearray(plain_bytes(operation, readers_of(operation))), dtype=torch_dtype(target)
    )
    whole = values.view(getattr(torch, f"int{target.bits}"))
    assert set(whole[torch.isnan(values)].tolist()) == {nan_bits(target)}
    expected = torch.tensor([float("nan")], dtype=values.dtype).view(whole.dtype).item()
    assert expected == nan_bits(target)


@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_every_processor_gives_the_same_bits(capability: str) -> None:
    """torch chooses its kernels by processor; the narrowest ones stand for other machines."""
    program = (
        "import hashlib; from tests.engine.test_transforms import *\n"
        "whole = hashlib.sha256()\n"
        "for operation in every_operation()[::3]:\n"
        "    whole.update(by_blocks(operation, readers_of(operation), 8 * 1111))\n"
        "print(torch.backends.cpu.get_cpu_capability(), whole.hexdigest())\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "ATEN_CPU_CAPABILITY"}
    root = Path(__file__).parents[2]
    results = [
        subprocess.run(
            [sys.executable, "-c", program], env=env, cwd=root, capture_output=True, text=True, check=True
        ).stdout.split()
        for env in (environment, {**environment, "ATEN_CPU_CAPABILITY": capability})
    ]
    assert results[0][-1] == results[1][-1], results


def test_a_factor_of_one_is_a_cast_only() -> None:
    operation = scale(DType.BF16, DType.BF16, DType.F32, 1.0)
    readers = readers_of(operation)
    expected = torch.frombuffer(readers[0].data, dtype=torch.bfloat16).to(torch.float32)
    found = torch.frombuffer(bytearray(by_blocks(operation, readers, 800)), dtype=torch.float32)
    assert torch.equal(torch.nan_to_num(found, nan=7), torch.nan_to_num(expected, nan=7))
