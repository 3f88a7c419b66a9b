"""Plans as bytes: canonical JSON, compressed with zstd when large, and their digest.

The digest leaves out `locations`: where the sources happen to lie changes no
output byte.
"""

import dataclasses
import hashlib
import json
from typing import Any

import zstandard

from distexpand.errors import CheckpointError, UsageError
from distexpand.formats.header import LENGTH_BYTES
from distexpand.formats.json_record import record
from distexpand.formats.json_text import load_json_object
from distexpand.planning.check import check_plan
from distexpand.planning.codec.operations import decode_operation, encode_operation
from distexpand.planning.codec.values import text, whole
from distexpand.planning.model import (
    CONFIG_NAME,
    FORMAT_VERSION,
    CopiedFile,
    LayerOrigin,
    Plan,
    ShardPlan,
    SourceFile,
    TextFile,
)

COMPRESS_FROM = 1_000_000
"""Plans of more bytes than this are compressed."""

MAX_PLAN_BYTES = 2_000_000_000
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def plan_digest(plan: Plan) -> str:
    """Return the SHA-256 of the plan without locations, in hexadecimal."""
    document = _to_document(plan)
    del document["locations"]
    return hashlib.sha256(_dump(document)).hexdigest()


def same_work(first: Plan, second: Plan) -> bool:
    """Whether two plans make the same model: they differ in places and in texts beside the config at most.

    The wording of a model card changes from version to version; a run that was begun needn't
    be thrown away for that.
    """
    return plan_digest(_without_words(first)) == plan_digest(_without_words(second))


def encode_plan(plan: Plan) -> bytes:
    """Return the plan as JSON, zstd-compressed where that is large."""
    raw = _dump(_to_document(plan))
    return raw if len(raw) <= COMPRESS_FROM else zstandard.ZstdCompressor(level=3).compress(raw)


def decode_plan(raw: bytes, *, origin: str) -> Plan:
    """Return the plan that `encode_plan` wrote, checked.

    Raises:
        UsageError: not a plan, of another version, or one that breaks a promise.
    """
    try:
        text = _decompressed(raw) if raw.startswith(_ZSTD_MAGIC) else raw
        document = load_json_object(text, origin=origin)
    except (zstandard.ZstdError, ValueError) as error:
        raise UsageError(f"{origin}: damaged plan: {error}", hint="Make the plan again.") from None
    except CheckpointError as error:
        raise UsageError(f"{origin}: not a plan: {error.message}", hint="Make the plan again.") from None
    if document.get("format_version") != FORMAT_VERSION:
        raise UsageError(
            f"{origin}: not a plan of version {FORMAT_VERSION}",
            hint="Make the plan again with this version of distexpand.",
        )
    try:
        plan = _from_document(document)
    except (KeyError, TypeError, ValueError):
        raise UsageError(
            f"{origin}: damaged plan: fields are missing or of the wrong kind", hint="Make the plan again."
        ) from None
    try:
        check_plan(plan)
    except UsageError as error:
        error.hint = error.hint or "The plan was changed since it was made: make it again."
        raise
    return plan


def _without_words(plan: Plan) -> Plan:
    return dataclasses.replace(plan, texts=tuple(text for text in plan.texts if text.name == CONFIG_NAME))


def _decompressed(raw: bytes) -> bytes:
    """Return the plan's text; its length is known beforehand and believed only within reason.

    Raises:
        ValueError: the length is absurd, unknown or not the text's.
    """
    size = zstandard.get_frame_parameters(raw).content_size
    if size > MAX_PLAN_BYTES:
        raise ValueError(f"claims to hold {size} bytes")
    text = zstandard.ZstdDecompressor().decompress(raw, allow_extra_data=False)
    if len(text) != size:
        raise ValueError(f"holds {len(text)} bytes instead of {size}")
    return text


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _to_document(plan: Plan) -> dict[str, Any]:
    return {
        "format_version": plan.format_version,
        "recipe": plan.recipe,
        "sources": [dataclasses.asdict(source) for source in plan.sources],
        "shards": [
            {
                "name": shard.name,
                "header": shard.header[LENGTH_BYTES:].decode(),
                "size": shard.size,
                "operations": [encode_operation(operation) for operation in shard.operations],
            }
            for shard in plan.shards
        ],
        "texts": [dataclasses.asdict(text) for text in plan.texts],
        "copies": [dataclasses.asdict(copied) for copied in plan.copies],
        "layers": [dataclasses.asdict(layer) for layer in plan.layers],
        "layer_prefix": plan.layer_prefix,
        "parameters": plan.parameters,
        "source_parameters": plan.source_parameters,
        "locations": [list(pair) for pair in plan.locations],
    }


def _from_document(document: dict[str, Any]) -> Plan:
    return Plan(
        recipe=text(document["recipe"]),
        sources=tuple(record(SourceFile, entry) for entry in document["sources"]),
        shards=tuple(_decode_shard(entry) for entry in document["shards"]),
        texts=tuple(record(TextFile, entry) for entry in document["texts"]),
        copies=tuple(record(CopiedFile, entry) for entry in document["copies"]),
        layers=tuple(record(LayerOrigin, entry) for entry in document["layers"]),
        layer_prefix=text(document["layer_prefix"]),
        parameters=whole(document["parameters"]),
        source_parameters=whole(document["source_parameters"]),
        locations=tuple((text(model), text(location)) for model, location in document["locations"]),
    )


def _decode_shard(entry: dict[str, Any]) -> ShardPlan:
    header = text(entry["header"]).encode()
    return ShardPlan(
        name=text(entry["name"]),
        header=len(header).to_bytes(LENGTH_BYTES, "little") + header,
        size=whole(entry["size"]),
        operations=tuple(decode_operation(operation) for operation in entry["operations"]),
    )
