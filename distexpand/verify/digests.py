"""Digests of tensors as they are: of an output's files, and of what a plan says they should be.

Files are read by the engine's own blocks, so that holes cost nothing. What a
transform should give is computed by the plain path: the whole tensor at once,
with torch, nothing cut into blocks.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from distexpand.engine.blocks import Block, cut_blocks
from distexpand.engine.fill import Workspace, digest_pieces, fill_block
from distexpand.engine.transforms import nan_bits, require_torch, torch_dtype
from distexpand.formats.dtypes import DType
from distexpand.formats.header import Header
from distexpand.intake.pins import read_range
from distexpand.plan.check import shard_header
from distexpand.plan.digest_layout import PIECE_BYTES, combined_digest, piece_digest
from distexpand.plan.model import ShardPlan
from distexpand.plan.operations import Blend, Copy, Operation, Scale, Term, Zero, source_length
from distexpand.storage.ranges import RangeReader


def file_digests(
    header: Header, reader: RangeReader, *, threads: int, advance: Callable[[int], None]
) -> dict[str, str]:
    """Return the digest of every tensor of a file as it is on disk."""
    ordered = sorted(header.tensors.values(), key=lambda tensor: tensor.offset)
    operations = [
        Copy(offset=t.offset, length=t.length, source=0, source_offset=t.offset) for t in ordered if t.length
    ]
    return _digests(header, operations, [reader], threads=threads, advance=advance)


def planned_digests(
    shard: ShardPlan, readers: Sequence[RangeReader], *, threads: int, advance: Callable[[int], None]
) -> dict[str, str]:
    """Return the digest that every tensor of a planned shard should have, from the sources."""
    header = shard_header(shard)
    copied = [operation for operation in shard.operations if isinstance(operation, Copy | Zero)]
    names = {tensor.offset: name for name, tensor in header.tensors.items() if tensor.length}
    kept = {names[operation.offset] for operation in copied if operation.offset in names}
    copied_header = Header(
        size=header.size,
        metadata=header.metadata,
        tensors={name: t for name, t in header.tensors.items() if name in kept or not t.length},
    )
    digests = _digests(copied_header, copied, readers, threads=threads, advance=advance)
    for operation in shard.operations:
        if isinstance(operation, Scale | Blend):
            digests[names[operation.offset]] = _plain_digest(operation, readers)
            advance(operation.length)
    return digests


def _digests(
    header: Header,
    operations: Sequence[Operation],
    readers: Sequence[RangeReader],
    *,
    threads: int,
    advance: Callable[[int], None],
) -> dict[str, str]:
    local = threading.local()

    def work(block: Block) -> Iterator[tuple[tuple[int, int], bytes]]:
        if not hasattr(local, "workspace"):
            local.workspace = Workspace()
        runs = fill_block(block, readers, local.workspace)
        digests = digest_pieces(block, runs, local.workspace.buffer)
        advance(block.length)
        keys = [(piece.tensor, piece.number) for piece in block.pieces]
        return zip(keys, digests, strict=True)

    with ThreadPoolExecutor(threads) as pool:
        pieces = dict(pair for pairs in pool.map(work, cut_blocks(header, operations)) for pair in pairs)
    ordered = sorted(header.tensors.items(), key=lambda item: (item[1].offset, item[1].length))
    by_tensor: dict[int, list[bytes]] = {}
    for (tensor, _), digest in sorted(pieces.items()):
        by_tensor.setdefault(tensor, []).append(digest)
    return {name: combined_digest(by_tensor.get(i, [])).hex() for i, (name, _) in enumerate(ordered)}


def _plain_digest(operation: Scale | Blend, readers: Sequence[RangeReader]) -> str:
    raw = plain_bytes(operation, readers)
    return combined_digest(
        piece_digest(raw[start : start + PIECE_BYTES]) for start in range(0, len(raw), PIECE_BYTES)
    ).hex()


def plain_bytes(operation: Operation, readers: Sequence[RangeReader]) -> bytes:
    """Return all bytes of an operation, computed at once."""
    match operation:
        case Copy():
            return read_range(readers[operation.source], operation.source_offset, operation.length)
        case Zero():
            return bytes(operation.length)
        case Scale():
            value = _whole(operation.term, operation, readers).to(torch_dtype(operation.compute))
            scaled = value if operation.factor == 1 else value * operation.factor
            return _raw(scaled, operation.target)
        case Blend():
            return _raw(_plain_blend(operation, readers), operation.target)


def _plain_blend(operation: Blend, readers: Sequence[RangeReader]) -> Any:
    torch = require_torch()
    compute = torch_dtype(operation.compute)
    wide = torch.float64 if operation.compute is DType.F64 else torch.float32
    weights = torch.tensor(operation.weights, dtype=wide)
    values = [_whole(term, operation, readers).to(compute).to(wide) for term in operation.terms]
    total = torch.zeros_like(values[0])
    for value, weight in zip(values, weights, strict=True):
        total = (total.double() + value.double() * weight.double()).to(wide)
    return (total / weights.sum() if operation.normalize else total).to(compute)


def _whole(term: Term, operation: Scale | Blend, readers: Sequence[RangeReader]) -> Any:
    length = source_length(term, operation.length, operation.target)
    raw = bytearray(read_range(readers[term.source], term.source_offset, length))
    return require_torch().frombuffer(raw, dtype=torch_dtype(term.dtype))


def _raw(values: Any, target: DType) -> bytes:
    torch = require_torch()
    result = values.to(torch_dtype(target)).contiguous()
    whole = result.view(getattr(torch, f"int{target.bits}"))
    one_nan = torch.where(torch.isnan(result), nan_bits(target), whole)
    raw: bytes = one_nan.to(whole.dtype).numpy().tobytes()
    return raw
