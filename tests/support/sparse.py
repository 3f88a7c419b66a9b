"""Sharded safetensors checkpoints of any shape, without a tensor library and in little memory.

`hole` leaves the data as a hole in the file: a 70B-shaped checkpoint with true
headers takes kilobytes. `random` writes finite random values, the same for
the same seed. Shards, index and order of tensors follow the Hub's convention.
This is an independent writer on purpose: it shares no code with the package.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from tests.support.shapes import ITEM_BYTES, Family, family

Fill = Literal["hole", "random"]

BLOCK_BYTES = 16 * 2**20

_KEPT_BITS: dict[str, tuple[np.unsignedinteger[Any], np.unsignedinteger[Any]]] = {
    # sign, low two bits of the exponent and the whole mantissa; then an exponent near one half
    "BF16": (np.uint16(0x81FF), np.uint16(0x3C00)),
    "F16": (np.uint16(0x8FFF), np.uint16(0x3000)),
    "F32": (np.uint32(0x81FFFFFF), np.uint32(0x3C000000)),
}


def write_checkpoint(
    directory: Path,
    model: Family | str,
    *,
    num_layers: int | None = None,
    shard_size: int = 5 * 10**9,
    fill: Fill = "hole",
    seed: int = 0,
) -> Path:
    """Write a checkpoint of a family's shape into `directory` and return `directory`.

    Args:
        directory: made if missing.
        model: a family, or the name of one.
        num_layers: fewer or more layers than published; only with a family's name.
        shard_size: bytes of tensors that a shard holds at most.
        fill: what the data is.
        seed: of the random values.
    """
    shape = family(model, num_layers=num_layers) if isinstance(model, str) else model
    if num_layers not in (None, shape.num_layers):
        raise ValueError("num_layers goes with the name of a family, not with a Family")
    directory.mkdir(parents=True, exist_ok=True)
    shards = list(_split(shape, shard_size))
    random = np.random.Generator(np.random.SFC64(seed))
    weight_map: dict[str, str] = {}
    for position, tensors in enumerate(shards, start=1):
        name = _shard_name(position, len(shards))
        weight_map |= dict.fromkeys((tensor for tensor, _ in tensors), name)
        with (directory / name).open("wb") as file:
            _write_shard(file, shape.dtype, sorted(tensors), fill, random)
    if len(shards) > 1:
        index = {
            "metadata": {"total_size": shape.total_bytes},
            "weight_map": dict(sorted(weight_map.items())),
        }
        _write_json(directory / "model.safetensors.index.json", index)
    _write_json(directory / "config.json", shape.config)
    ids = {key: shape.config[key] for key in ("bos_token_id", "eos_token_id")}
    _write_json(directory / "generation_config.json", {"_from_model_config": True, **ids})
    write_tokenizer(directory)
    return directory


def write_tokenizer(directory: Path) -> None:
    """Write the files of a small real tokenizer."""
    _write_json(
        directory / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"},
    )
    _write_json(directory / "tokenizer.json", _word_tokenizer())


def _split(shape: Family, shard_size: int) -> Iterator[list[tuple[str, tuple[int, ...]]]]:
    """Yield each shard's tensors as the Hub's client packs them.

    Greedily in published order; a tensor over the limit gets a shard of its own at once,
    before the shard that is being filled.
    """
    shard: list[tuple[str, tuple[int, ...]]] = []
    held = 0
    for name, dimensions in shape.tensors:
        size = math.prod(dimensions) * ITEM_BYTES[shape.dtype]
        if size > shard_size:
            yield [(name, dimensions)]
            continue
        if held + size > shard_size:
            yield shard
            shard, held = [], 0
        shard.append((name, dimensions))
        held += size
    if shard:
        yield shard


def _shard_name(position: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{position:05d}-of-{count:05d}.safetensors"


def _write_shard(
    file: BinaryIO,
    dtype: str,
    tensors: list[tuple[str, tuple[int, ...]]],
    fill: Fill,
    random: np.random.Generator,
) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, dimensions in tensors:
        begin, end = end, end + math.prod(dimensions) * ITEM_BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(dimensions), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    if fill == "hole":
        file.truncate(8 + len(text) + end)
        return
    for begin in range(0, end, BLOCK_BYTES):
        file.write(_random_block(random, dtype, min(BLOCK_BYTES, end - begin)))


def _random_block(random: np.random.Generator, dtype: str, length: int) -> bytes:
    """Return random values between 2**-8 and 1 of both signs: finite whatever is done to them."""
    kept, exponent = _KEPT_BITS[dtype]
    words = -(-length // 8)
    values = random.integers(0, 2**64, words, dtype=np.uint64).view(kept.dtype)
    values &= kept
    values |= exponent
    return values.tobytes()[:length]


def _word_tokenizer() -> dict[str, Any]:
    vocabulary = ["<unk>", "<s>", "</s>", "a", "b", "c"]
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": index, "content": vocabulary[index], **special} for index in range(3)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: index for index, word in enumerate(vocabulary)},
            "unk_token": "<unk>",
        },
    }


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
