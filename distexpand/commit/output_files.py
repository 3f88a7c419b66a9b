"""What every committer writes beside the shards, and what it asks for before, wherever the output is."""

import hashlib
from collections.abc import Mapping

from distexpand.commit.index_text import index_text
from distexpand.commit.known_digests import with_known_digests
from distexpand.commit.manifest import encode_manifest, make_manifest
from distexpand.engine.receipt import Receipt
from distexpand.errors import OutputError, UsageError
from distexpand.formats.index import INDEX_NAME
from distexpand.planning.model import Plan


def small_files(plan: Plan, side_files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return all files of an output beside its shards and its manifest: copied ones, texts, index."""
    files = dict(side_files) | {text.name: text.text.encode() for text in plan.texts}
    if len(plan.shards) > 1:
        files[INDEX_NAME] = index_text(plan).encode()
    return files


def manifest_text(plan: Plan, receipts: Mapping[str, Receipt], files: Mapping[str, bytes]) -> bytes:
    """Return the manifest of an output whose shards and small files are all there."""
    digests = {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}
    known = with_known_digests(plan, receipts)
    return encode_manifest(make_manifest(plan, known.values(), digests))


def require_shards(plan: Plan, receipts: Mapping[str, Receipt], *, output: str) -> None:
    """Check that every shard is there.

    Raises:
        OutputError: some are missing.
    """
    missing = [shard.name for shard in plan.shards if shard.name not in receipts]
    if missing:
        raise OutputError(
            f"{output}: {len(missing)} shards are missing, first {missing[0]}", hint="Go on with --resume."
        )


def require_same(same: bool, *, output: str) -> None:
    """Check that an output was begun with the plan that is to go on with it.

    Raises:
        UsageError: it wasn't.
    """
    if not same:
        raise UsageError(
            f"{output}: was begun with another plan (recipe, sources, shard size or layout differ)",
            hint="Call with the same recipe and options, or use --overwrite to start anew. A model of the "
            "Hub whose branch has moved since is named with the commit that it had: org/model@COMMIT.",
        )
