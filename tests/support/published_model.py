"""Published models as header-only checkpoints: true configs, names, shapes and dtypes, data as a hole.

`shapes.py` and `sparse.py` do this for plain decoders of one dtype; here are models
whose layers differ, whose tensors have several dtypes, and which store more than their
layers. What is common to the families is in this module, the families themselves are in
`published_mixtures`, `published_hybrids` and `published_images`. `tests/published/test_shapes.py`
holds all but what transformers has no class for against transformers' own classes.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Tensor = tuple[str, str, tuple[int, ...]]
"""Name, safetensors dtype and shape."""

Config = dict[str, Any]

_ITEM_BITS = {"BF16": 16, "F16": 16, "F32": 32, "U8": 8, "F8_E4M3": 8}
_FP8_BLOCK = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedModel:
    """A published model: its config as on the Hub, and how its tensors follow from a config."""

    name: str
    config: Config
    tensors: Callable[[Config], Iterator[Tensor]]


def write_headers(directory: Path, model: PublishedModel, *, shard_size: int = 5 * 10**9) -> Path:
    """Write a model's config, index and shards, whose data is a hole, and return `directory`."""
    directory.mkdir(parents=True)
    shards = list(_shards(model.tensors(model.config), shard_size))
    weight_map = {}
    for position, shard in enumerate(shards, start=1):
        name = f"model-{position:05d}-of-{len(shards):05d}.safetensors"
        weight_map |= {tensor: name for tensor, _, _ in shard}
        _write_shard(directory / name, shard)
    index = {"metadata": {}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    (directory / "config.json").write_text(json.dumps(model.config, indent=2), encoding="utf-8")
    return directory


def _shards(tensors: Iterable[Tensor], shard_size: int) -> Iterator[list[Tensor]]:
    shard: list[Tensor] = []
    held = 0
    for tensor in tensors:
        size = _bytes(tensor)
        if shard and held + size > shard_size:
            yield shard
            shard, held = [], 0
        shard.append(tensor)
        held += size
    yield shard


def _bytes(tensor: Tensor) -> int:
    _, dtype, shape = tensor
    return math.prod(shape) * _ITEM_BITS[dtype] // 8


def _write_shard(path: Path, tensors: list[Tensor]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        name, dtype, shape = tensor
        begin, end = end, end + _bytes(tensor)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def under(prefix: str, tensors: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield tensors with a prefix to their names."""
    for name, dtype, shape in tensors:
        yield prefix + name, dtype, shape


def weights(*shapes: tuple[str, int] | tuple[str, int, int]) -> Iterator[Tensor]:
    """Yield the BF16 weights of modules: name and shape of each."""
    for name, *shape in shapes:
        yield f"{name}.weight", "BF16", tuple(shape)


def biased(*shapes: tuple[str, int, int]) -> Iterator[Tensor]:
    """Yield the BF16 weights and biases of projections."""
    for name, rows, columns in shapes:
        yield f"{name}.weight", "BF16", (rows, columns)
        yield f"{name}.bias", "BF16", (rows,)


def fp8_weights(*shapes: tuple[str, int, int]) -> Iterator[Tensor]:
    """Yield FP8 weights with a scale for each block of 128 by 128."""
    for name, rows, columns in shapes:
        yield f"{name}.weight", "F8_E4M3", (rows, columns)
        blocks = (math.ceil(rows / _FP8_BLOCK), math.ceil(columns / _FP8_BLOCK))
        yield f"{name}.weight_scale_inv", "F32", blocks


def gated(hidden: int, inner: int, *, project: Callable[..., Iterator[Tensor]] = weights) -> Iterator[Tensor]:
    """Yield a gated feed-forward part: `gate_proj`, `up_proj`, `down_proj`."""
    yield from project(("gate_proj", inner, hidden), ("up_proj", inner, hidden), ("down_proj", hidden, inner))


def experts(count: int, expert: Callable[[], Iterator[Tensor]]) -> Iterator[Tensor]:
    """Yield `experts.0.` and so on."""
    for index in range(count):
        yield from under(f"experts.{index}.", expert())


def attention(config: Config, *, project: Callable[..., Iterator[Tensor]] = weights) -> Iterator[Tensor]:
    """Yield `q_proj`, `k_proj`, `v_proj` and `o_proj` of grouped attention."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    size = config.get("head_dim") or hidden // heads
    keys = config["num_key_value_heads"] * size
    yield from project(
        ("q_proj", heads * size, hidden),
        ("k_proj", keys, hidden),
        ("v_proj", keys, hidden),
        ("o_proj", hidden, heads * size),
    )


def mamba2(
    hidden: int, *, inner: int, heads: int, groups: int, state: int, kernel: int, norm: bool
) -> Iterator[Tensor]:
    """Yield a Mamba-2 mixer with a biased convolution and unbiased projections."""
    channels = inner + 2 * groups * state
    yield from (("A_log", "BF16", (heads,)), ("D", "BF16", (heads,)), ("dt_bias", "BF16", (heads,)))
    yield "conv1d.weight", "BF16", (channels, 1, kernel)
    yield "conv1d.bias", "BF16", (channels,)
    yield from weights(("in_proj", inner + channels + heads, hidden), ("out_proj", hidden, inner))
    if norm:
        yield from weights(("norm", inner))


def norms(config: Config) -> Iterator[Tensor]:
    """Yield the norms before attention and feed-forward part."""
    hidden = config["hidden_size"]
    yield from weights(("input_layernorm", hidden), ("post_attention_layernorm", hidden))


def head(config: Config) -> Iterator[Tensor]:
    """Yield final norm and head."""
    yield from weights(
        ("model.norm", config["hidden_size"]), ("lm_head", config["vocab_size"], config["hidden_size"])
    )
