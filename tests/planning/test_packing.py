"""Packing: the Hub's names and sizes, aligned tensors, the same shards every time."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.errors import UsageError
from distexpand.formats.dtypes import DType
from distexpand.planning.check import shard_header
from distexpand.planning.operations import Copy
from distexpand.planning.pack import pack
from distexpand.planning.tensors import OutputTensor


@st.composite
def tensors(draw: st.DrawFn) -> list[OutputTensor]:
    result = []
    for index in range(draw(st.integers(1, 12))):
        dtype = draw(st.sampled_from(list(DType)))
        shape = (draw(st.integers(0, 5)), 4)
        length = shape[0] * 4 * dtype.bits // 8
        operation = Copy(offset=0, length=length, source=0, source_offset=index)
        result.append(OutputTensor(name=f"t{index}", dtype=dtype, shape=shape, operation=operation))
    return result


@given(tensors(), st.integers(1, 400))
@settings(deadline=None)
def test_shards_keep_to_the_size_and_tensors_to_their_alignment(
    given_tensors: list[OutputTensor], shard_size: int
) -> None:
    shards = pack(given_tensors, {"made": "here"}, shard_size=shard_size)
    assert shards == pack(given_tensors, {"made": "here"}, shard_size=shard_size)
    count = len(shards)
    names = [f"model-{n:05d}-of-{count:05d}.safetensors" for n in range(1, count + 1)]
    assert [shard.name for shard in shards] == (names if count > 1 else ["model.safetensors"])
    by_name = {tensor.name: tensor for tensor in given_tensors}
    order = []
    for shard in shards:
        header = shard_header(shard)
        assert dict(header.metadata) == {"format": "pt", "made": "here"}
        held = [by_name[name] for name in header.tensors]
        filled = [tensor for tensor in held if tensor.operation.length]
        assert shard.size - len(shard.header) <= shard_size or len(filled) == 1
        for name, tensor in header.tensors.items():
            assert (tensor.dtype, tensor.shape) == (by_name[name].dtype, by_name[name].shape)
            if tensor.length:
                assert tensor.offset % max(1, tensor.dtype.bits // 8) == 0
        assert [op.source_offset for op in shard.operations] == [t.operation.source_offset for t in filled]
        order.append({int(name[1:]) for name in header.tensors})
    assert sorted(set().union(*order)) == list(range(len(given_tensors)))
    assert all(max(left) < min(right) for left, right in itertools.pairwise(order))


def test_equal_dtypes_stay_in_their_order() -> None:
    made = [
        OutputTensor(
            name=name,
            dtype=dtype,
            shape=(1,),
            operation=Copy(offset=0, length=dtype.bits // 8, source=0, source_offset=0),
        )
        for name, dtype in (("z", DType.BF16), ("a", DType.F32), ("y", DType.BF16), ("b", DType.F32))
    ]
    (shard,) = pack(made, {}, shard_size=100)
    assert list(shard_header(shard).tensors) == ["a", "b", "z", "y"]


def test_the_source_s_metadata_wins() -> None:
    made = OutputTensor(
        name="a", dtype=DType.U8, shape=(1,), operation=Copy(offset=0, length=1, source=0, source_offset=0)
    )
    (shard,) = pack([made], {"format": "mlx"}, shard_size=1)
    assert dict(shard_header(shard).metadata) == {"format": "mlx"}


@pytest.mark.parametrize("size", [0, -1])
def test_a_shard_size_has_to_be_positive(size: int) -> None:
    with pytest.raises(UsageError, match="has to be positive"):
        pack([], {}, shard_size=size)
