"""Execute one shard: write every block under an attempt's name, sync, check, hand in a receipt."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Executor, wait
from typing import Protocol

from distexpand.engine.blocks import Block, cut_blocks
from distexpand.engine.fill import Workspace, digest_pieces, fill_block
from distexpand.engine.receipt import Receipt
from distexpand.errors import InterruptedRunError, StorageError
from distexpand.formats.header import Header
from distexpand.plan.check import shard_header
from distexpand.plan.digest_layout import PIECE_BYTES, combined_digest, shard_digest
from distexpand.plan.model import ShardPlan
from distexpand.plan.operations import sources_of
from distexpand.storage.ranges import Attempt, OutputStore, Readers


class StopSignal(Protocol):
    """What tells the engine to end; a `threading.Event` is one."""

    def is_set(self) -> bool:
        """Whether the work is to end."""
        ...


class ShardEngine:
    """Executes shards with the threads of a pool; several shards may be under way at once.

    Args:
        readers: the plan's sources by number.
        pool: runs the blocks; each of its threads gets one workspace.
        stop: set from outside to end the work between two blocks.
        piece_bytes: the unit of digests, and the size of a block; a multiple of 8.
    """

    def __init__(
        self,
        readers: Readers,
        pool: Executor,
        stop: StopSignal,
        *,
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        self._readers = readers
        self._pool = pool
        self._stop = stop
        self._piece_bytes = piece_bytes
        self._local = threading.local()

    def execute(self, shard: ShardPlan, output: OutputStore, advance: Callable[[int], None]) -> Receipt:
        """Write one shard and return its receipt; the attempt is left for the committer.

        A failed attempt is removed, so that it holds no disk until the resume.

        Raises:
            StorageError: reading or writing failed.
            InterruptedRunError: the work was asked to stop.
        """
        started = time.monotonic()
        header = shard_header(shard)
        with output.begin(shard.name, shard.size) as attempt:
            used = [self._readers[source] for source in sources_of(shard.operations)]
            if not any(reader.is_sparse for reader in used) and shard.size:
                attempt.reserve(0, shard.size)
            attempt.write(0, memoryview(shard.header))
            advance(len(shard.header))
            pieces = self._write_blocks(shard, header, attempt, advance)
            for reader in used:
                reader.check_unchanged()
            _check_header(attempt, shard)
            attempt.finish()
            tensors = _tensor_digests(header, pieces)
            digest = shard_digest(shard.header, (raw for _, raw in tensors))
            return Receipt(
                shard=shard.name,
                attempt=attempt.name,
                size=shard.size,
                digest=digest.hex(),
                tensors=tuple((name, raw.hex()) for name, raw in tensors),
                seconds=time.monotonic() - started,
            )

    def _write_blocks(
        self, shard: ShardPlan, header: Header, attempt: Attempt, advance: Callable[[int], None]
    ) -> dict[tuple[int, int], bytes]:
        futures = [
            self._pool.submit(self._write_block, block, attempt, advance)
            for block in cut_blocks(header, shard.operations, piece_bytes=self._piece_bytes)
        ]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            # Also when interrupted: a block that still writes needs the attempt open.
            for future in futures:
                future.cancel()
            done = wait(futures).done
        failures = [f.exception() for f in done if not f.cancelled() and f.exception() is not None]
        for failure in sorted(failures, key=lambda error: isinstance(error, InterruptedRunError)):
            assert failure is not None
            raise failure
        return {key: digest for future in futures for key, digest in future.result()}

    def _write_block(
        self, block: Block, attempt: Attempt, advance: Callable[[int], None]
    ) -> list[tuple[tuple[int, int], bytes]]:
        if self._stop.is_set():
            raise InterruptedRunError("interrupted", hint="Finished shards are kept; go on with --resume.")
        workspace = self._workspace()
        runs = fill_block(block, self._readers, workspace)
        digests = digest_pieces(block, runs, workspace.buffer)
        for run in runs:
            attempt.write(block.offset + run.start, workspace.buffer[run.start : run.start + run.length])
        advance(block.length)
        keys = [(piece.tensor, piece.number) for piece in block.pieces]
        return list(zip(keys, digests, strict=True))

    def _workspace(self) -> Workspace:
        if not hasattr(self._local, "workspace"):
            self._local.workspace = Workspace(self._piece_bytes)
        workspace: Workspace = self._local.workspace
        return workspace


def _tensor_digests(header: Header, pieces: dict[tuple[int, int], bytes]) -> list[tuple[str, bytes]]:
    """Return name and digest of each tensor in order of offset; an empty tensor has no piece."""
    by_tensor: dict[int, list[bytes]] = {}
    for (tensor, _), digest in sorted(pieces.items()):
        by_tensor.setdefault(tensor, []).append(digest)
    names = header.in_order()
    return [(name, combined_digest(by_tensor.get(index, []))) for index, name in enumerate(names)]


def _check_header(attempt: Attempt, shard: ShardPlan) -> None:
    written = bytearray(len(shard.header))
    attempt.read_into(0, memoryview(written))
    if written != shard.header:
        raise StorageError(f"{attempt.name}: the header read back isn't the one written")
