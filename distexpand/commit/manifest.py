"""The manifest, `distexpand.json`: what a finished output says of itself.

It holds no time, host or path, so that the same plan gives the same manifest
wherever it ran. It is the last file to appear: an output without one is
unfinished. It carries its own digest and has one spelling only, so that no
byte of it can change unnoticed either.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from distexpand.engine.receipt import Receipt
from distexpand.errors import CheckpointError
from distexpand.formats.index import is_plain_path
from distexpand.formats.json_record import record
from distexpand.formats.json_text import load_json_object
from distexpand.planning.check import shard_header
from distexpand.planning.codec.plans import plan_digest
from distexpand.planning.digest_layout import ALGORITHM
from distexpand.planning.model import CONFIG_NAME, LayerOrigin, Plan, SourceFile

MANIFEST_NAME = "distexpand.json"
MANIFEST_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecord:
    """A finished shard: bytes, digest, and the digests of its tensors in order of offset.

    As in a receipt, the digest of a tensor that was never read is empty, and the shard's is of
    its header and of the others.
    """

    name: str
    size: int
    digest: str
    tensors: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The manifest's content; `files` maps every small file to the SHA-256 of its bytes."""

    plan_digest: str
    recipe: str
    sources: tuple[SourceFile, ...]
    shards: tuple[ShardRecord, ...]
    files: Mapping[str, str]
    layers: tuple[LayerOrigin, ...]
    layer_prefix: str
    parameters: int

    @property
    def file_names(self) -> tuple[str, ...]:
        """Every file that the output has beside the manifest."""
        return (*(shard.name for shard in self.shards), *self.files)


def make_manifest(plan: Plan, receipts: Iterable[Receipt], files: Mapping[str, str]) -> Manifest:
    """Return the manifest of a plan whose shards are all there."""
    by_name = {receipt.shard: receipt for receipt in receipts}
    return Manifest(
        plan_digest=plan_digest(plan),
        recipe=plan.recipe,
        sources=plan.sources,
        shards=tuple(_record(by_name[shard.name]) for shard in plan.shards),
        files=dict(sorted(files.items())),
        layers=plan.layers,
        layer_prefix=plan.layer_prefix,
        parameters=plan.parameters,
    )


def is_manifest_of(manifest: Manifest, plan: Plan) -> bool:
    """Whether a finished output is what the plan makes, texts beside the config left aside (`same_work`)."""
    if manifest.plan_digest == plan_digest(plan):
        return True
    shards = {shard.name: (shard.size, set(shard.tensors)) for shard in manifest.shards}
    planned = {shard.name: (shard.size, set(shard_header(shard).tensors)) for shard in plan.shards}
    configs = [text.text.encode() for text in plan.texts if text.name == CONFIG_NAME]
    return (
        (manifest.recipe, manifest.sources, manifest.layers) == (plan.recipe, plan.sources, plan.layers)
        and shards == planned
        and [manifest.files.get(CONFIG_NAME)] == [hashlib.sha256(config).hexdigest() for config in configs]
    )


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as JSON text."""
    document: dict[str, Any] = {
        "format_version": MANIFEST_VERSION,
        "digest_algorithm": ALGORITHM,
        **asdict(manifest),
    }
    document["manifest_digest"] = hashlib.sha256(_text(document)).hexdigest()
    return _text(document)


def decode_manifest(raw: bytes, *, origin: str) -> Manifest:
    """Return the manifest of a text.

    Raises:
        CheckpointError: the text isn't a manifest of this version, or was changed.
    """
    document = load_json_object(raw, origin=origin)
    if document.pop("format_version", None) != MANIFEST_VERSION:
        raise CheckpointError(
            f"{origin}: not a manifest of version {MANIFEST_VERSION}",
            hint="Verify it with the version of distexpand that made it.",
        )
    if document.pop("digest_algorithm", None) != ALGORITHM:
        raise CheckpointError(f"{origin}: digests aren't {ALGORITHM}")
    try:
        document.pop("manifest_digest", None)
        manifest = record(Manifest, document)
    except TypeError:
        raise CheckpointError(
            f"{origin}: damaged manifest: fields are missing or of the wrong kind"
        ) from None
    if encode_manifest(manifest) != raw:
        raise CheckpointError(
            f"{origin}: isn't as it was written (its own digest differs)",
            hint="Make the output again with `distexpand run RECIPE OUT --overwrite`.",
        )
    for name in manifest.file_names:
        if not is_plain_path(name):
            raise CheckpointError(f"{origin}: file name {name!r} is not a plain relative path")
    return manifest


def _text(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode() + b"\n"


def _record(receipt: Receipt) -> ShardRecord:
    return ShardRecord(
        name=receipt.shard, size=receipt.size, digest=receipt.digest, tensors=dict(receipt.tensors)
    )
