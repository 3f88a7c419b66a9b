"""Digests of tensors that weren't read, as far as another tensor of the same bytes was.

A store copies duplicates from a shard that it has, and a file system shares their blocks: of those
nothing passes this machine, but what they are copies of did. A tensor's digest doesn't depend on
where it stands, so it is the same.
"""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace

from distexpand.engine.blocks import cut_pieces
from distexpand.engine.receipt import Receipt
from distexpand.planning.check import shard_header
from distexpand.planning.digest_layout import shard_digest
from distexpand.planning.model import Plan, ShardPlan


def with_known_digests(plan: Plan, receipts: Mapping[str, Receipt]) -> dict[str, Receipt]:
    """Return the receipts with the digests that they have together."""
    lacking = [name for name, receipt in receipts.items() if not all(digest for _, digest in receipt.tensors)]
    if not lacking:
        return dict(receipts)
    known: dict[Hashable, str] = {}
    for shard in plan.shards:
        digests = dict(receipts[shard.name].tensors)
        known |= {content: digests[name] for name, content in _contents(shard) if digests[name]}
    shards = {shard.name: shard for shard in plan.shards}
    return dict(receipts) | {name: _completed(shards[name], receipts[name], known) for name in lacking}


def _completed(shard: ShardPlan, receipt: Receipt, known: Mapping[Hashable, str]) -> Receipt:
    contents = dict(_contents(shard))
    tensors = tuple((name, digest or known.get(contents.get(name), "")) for name, digest in receipt.tensors)
    digest = shard_digest(shard.header, (bytes.fromhex(digest) for _, digest in tensors if digest))
    return replace(receipt, tensors=tensors, digest=digest.hex())


def _contents(shard: ShardPlan) -> Iterator[tuple[str, Hashable]]:
    """Yield the name of each tensor that isn't empty, and what tells other bytes apart."""
    header = shard_header(shard)
    names = header.in_order()
    for piece in cut_pieces(header, shard.operations, piece_bytes=max(shard.size, 1)):
        moved = (replace(each, offset=each.offset - piece.offset) for each in piece.operations)
        yield names[piece.tensor], (piece.length, tuple(moved))
