"""What makes a quantised weight zero, proven by dequantising it the way that its format is read."""

from collections.abc import Callable, Mapping

import pytest

torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
transformers = pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

from distexpand.architecture.quantised import (  # noqa: E402
    STORAGES,
    Storage,
    quantised_sets,
    storage_of,
    zero_values,
)
from distexpand.architecture.residual.identity import identity_values  # noqa: E402
from distexpand.errors import ArchitectureError  # noqa: E402
from distexpand.formats.dtypes import DType  # noqa: E402

Tensors = dict[str, "torch.Tensor"]

_FP4 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
_BNB_FP4 = torch.tensor([0, 0.0052, 0.6667, 1, 0.3333, 0.5, 0.1667, 0.25])
_NF4 = torch.tensor(
    [
        *(-1.0, -0.6961928, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0.0),
        *(0.0795803, 0.1609302, 0.24611230, 0.33791524, 0.44070983, 0.56261700, 0.72295684, 1.0),
    ]
)
_TORCH = {
    DType.U8: torch.uint8,
    DType.I8: torch.int8,
    DType.I32: torch.int32,
    DType.F32: torch.float32,
    DType.F8_E4M3: torch.float8_e4m3fn,
}
_LIKED = (DType.F8_E4M3, DType.F32, DType.U8, DType.I8, DType.I32)
"""Which of the dtypes that a row allows is tried."""


def _nibbles(packed: "torch.Tensor") -> "torch.Tensor":
    return torch.stack([packed & 15, packed >> 4], dim=-1).flatten().long()


def _words(packed: "torch.Tensor") -> "torch.Tensor":
    """Return the eight numbers of four bits in each word."""
    return torch.stack([(packed >> shift) & 15 for shift in range(0, 32, 4)], dim=-1).flatten().float()


def _mxfp4(t: Tensors) -> "torch.Tensor":
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors  # noqa: PLC0415

    blocks, scales = t["_blocks"].view(1, 2, 1, 16), t["_scales"][:2].view(1, 2, 1)
    return convert_moe_packed_tensors(blocks, scales % 20 + 110)


def _packed_fp4(t: Tensors) -> "torch.Tensor":
    return _FP4[_nibbles(t[".weight_packed"])] * 2.0 ** -t[".weight_scale"].float()[0]


def _four_bits(table: "torch.Tensor") -> Callable[[Tensors], "torch.Tensor"]:
    """Return a reader of bitsandbytes' codes whose scales are quantised themselves, with an offset."""
    signed = table if len(table) == 16 else torch.cat([table, -table])

    def read(t: Tensors) -> "torch.Tensor":
        absmax = t[".weight.absmax"].float() * 0.1 + 0.7
        return signed[_nibbles(t[".weight"])].view(len(absmax), -1) * absmax[:, None]

    return read


READERS: Mapping[str, Callable[[Tensors], "torch.Tensor"]] = {
    "FP8 with block scales": lambda t: t[".weight"].float() * t[".weight_scale_inv"].float(),
    "FP8 with block scales, experts in one tensor": lambda t: t[""].float() * t["_scale_inv"].float(),
    "FP8": lambda t: t[".weight"].float() * t[".weight_scale"].float(),
    "FP8, experts in one tensor": lambda t: t[""].float() * t["_scale"].float(),
    "INT8": lambda t: t[".weight"].float() * t[".weight_scale"],
    "NVFP4": lambda t: _FP4[_nibbles(t[".weight"])].view(32, -1) * t[".weight_scale"].float()[:, None],
    "packed FP4": _packed_fp4,
    "packed integers": lambda t: (_words(t[".weight_packed"]) - 8).view(32, -1) * t[".weight_scale"][:, None],
    "MXFP4": _mxfp4,
    "GPTQ or AWQ": lambda t: (
        (_words(t[".qweight"]) - _words(t[".qzeros"]) - 1).view(32, -1) * t[".scales"][:, None]
    ),
    "bitsandbytes NF4": _four_bits(_NF4),
    "bitsandbytes FP4": _four_bits(_BNB_FP4),
    "bitsandbytes INT8": lambda t: t[".weight"].float() * t[".SCB"] / 127,
}
"""How each way of storing is read; the formulas are those of the libraries that run them."""


def _random(way: Storage) -> tuple[dict[str, DType], Tensors]:
    dtypes = {leaf: next(d for d in _LIKED if d in allowed) for leaf, allowed in way.leaves.items()}
    generator = torch.Generator().manual_seed(3)
    tensors: Tensors = {}
    for leaf, dtype in dtypes.items():
        raw = torch.randint(0, 120, (32 * dtype.bits // 8,), dtype=torch.uint8, generator=generator)
        values = torch.rand(32, generator=generator) + 0.5
        tensors[leaf] = values.to(_TORCH[dtype]) if dtype.value.startswith("F") else raw.view(_TORCH[dtype])
    return dtypes, tensors


@pytest.mark.parametrize("way", STORAGES, ids=lambda way: way.name)
def test_zero_is_zero_for_whoever_reads_it(way: Storage) -> None:
    dtypes, tensors = _random(way)
    assert storage_of(dtypes) is way
    assert READERS[way.name](tensors).abs().max() > 0
    zeros = zero_values(dtypes)
    assert zeros is not None
    for leaf, value in zeros.items():
        tensors[leaf] = torch.full_like(tensors[leaf].float(), value).to(tensors[leaf].dtype)
    assert (READERS[way.name](tensors) == 0).all()


def test_zero_bytes_are_no_zero_where_codes_are_indices() -> None:
    way = next(way for way in STORAGES if way.name == "bitsandbytes NF4")
    _, tensors = _random(way)
    zeroed = {leaf: torch.zeros_like(tensor) for leaf, tensor in tensors.items()}
    assert (READERS[way.name](zeroed) != 0).all()


@pytest.mark.parametrize("way", STORAGES, ids=lambda way: way.name)
def test_identity_blocks_of_quantised_models(way: Storage) -> None:
    dtypes, _ = _random(way)
    layer = {"input_layernorm.weight": DType.BF16, "mlp.down_proj.bias": DType.BF16}
    layer |= {
        f"{part}{leaf}": d for part in ("self_attn.o_proj", "mlp.down_proj") for leaf, d in dtypes.items()
    }
    layer |= {
        f"{part}{leaf}": d for part in ("self_attn.q_proj", "mlp.up_proj") for leaf, d in dtypes.items()
    }
    values = identity_values(layer, {}, origin="layer 0")
    expected = {
        f"{part}{leaf}": value
        for part in ("self_attn.o_proj", "mlp.down_proj")
        for leaf, value in way.zero.items()
    }
    assert values == {**expected, "mlp.down_proj.bias": 0.0}


@pytest.mark.parametrize(
    "leaves",
    [
        {".weight": DType.U8},
        {".W_q": DType.U8, ".scale": DType.F16},
        {".qweight": DType.I32, ".scales": DType.F16},
        {".weight": DType.U8, ".weight.absmax": DType.F32},
        {".weight": DType.BF16, ".lora_A": DType.BF16},
        {".weight": DType.I8, ".bias": DType.I32},
    ],
    ids=str,
)
def test_what_nobody_knows_how_to_zero_is_refused(leaves: Mapping[str, DType]) -> None:
    layer = {"self_attn.o_proj.weight": DType.BF16} | {
        f"mlp.down_proj{leaf}": d for leaf, d in leaves.items()
    }
    with pytest.raises(ArchitectureError, match="stored quantised in a way that isn't known"):
        identity_values(layer, {}, origin="layer 0")


def test_plain_tensors_are_no_quantised_weights() -> None:
    names = ["q_proj.weight", "q_proj.bias", "altup.correct_output_scale", "hc_attn_scale", "norm.weight"]
    assert not list(quantised_sets(dict.fromkeys(names, DType.BF16)))


def test_every_row_is_read() -> None:
    assert READERS.keys() == {way.name for way in STORAGES}
