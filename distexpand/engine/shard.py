"""Execute shards: write every block under an attempt's name, sync, check, hand in a receipt."""

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

from distexpand.engine.blocks import cut_pieces
from distexpand.engine.cloning import Ranges, share_copies
from distexpand.engine.fill import Workspace, digest_pieces, fill_block
from distexpand.engine.kept import KeptReaders
from distexpand.engine.placing import write_block
from distexpand.engine.readings import Place, Reading, cut_readings
from distexpand.engine.receipt import Receipt
from distexpand.errors import InterruptedRunError, StorageError
from distexpand.formats.header import Header
from distexpand.pauses import StopSignal
from distexpand.planning.check import shard_header
from distexpand.planning.digest_layout import PIECE_BYTES, combined_digest, shard_digest
from distexpand.planning.model import ShardPlan
from distexpand.planning.operations import Operation, Zero, sources_of
from distexpand.storage.ranges import Attempt, OutputStore, RangeReader, Readers


class ShardEngine:
    """Executes shards with the threads of a pool; several may be under way at once.

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
        """Write one shard and return its receipt; as `execute_together`."""
        receipts: list[Receipt] = []
        self.execute_together([shard], output, advance, receipts.append)
        return receipts[0]

    def execute_together(
        self,
        shards: Sequence[ShardPlan],
        output: OutputStore,
        advance: Callable[[int], None],
        done: Callable[[Receipt], None],
    ) -> None:
        """Write shards, reading what several of them are made of once; attempts are left for the committer.

        Attempts that fail are removed, so that they hold no disk until the resume.

        Args:
            shards: in the order in which they are to be finished.
            output: where attempts are begun.
            advance: told of bytes that are in place.
            done: takes each shard's receipt as soon as it is whole.

        Raises:
            StorageError: reading or writing failed.
            InterruptedRunError: the work was asked to stop.
        """
        with _Opened() as opened:
            works = [self._begin(shard, output, opened) for shard in shards]
            advance(sum(len(shard.header) for shard in shards))
            with self._submitted(works, advance):
                for work in works:
                    receipt = _finished(work, _digests(work))
                    opened.release(work.attempt)
                    done(receipt)

    def _begin(self, shard: ShardPlan, output: OutputStore, opened: "_Opened") -> "_Work":
        started = time.monotonic()
        attempt = opened.add(output.begin(shard.name, shard.size))
        used = [self._readers[source] for source in sources_of(shard.operations)]
        operations, shared = share_copies(shard.operations, attempt, self._readers)
        if not any(reader.is_sparse for reader in used):
            for offset, length in _written_ranges(shard, operations):
                attempt.reserve(offset, length)
        attempt.write(0, memoryview(shard.header))
        return _Work(
            shard=shard,
            header=shard_header(shard),
            operations=operations,
            shared=shared,
            attempt=attempt,
            used=used,
            started=started,
        )

    @contextmanager
    def _submitted(self, works: Sequence["_Work"], advance: Callable[[int], None]) -> Iterator[None]:
        """Give the pool all readings, and each work the places that are its own."""
        cut = [cut_pieces(work.header, work.operations, piece_bytes=self._piece_bytes) for work in works]
        attempts = [work.attempt for work in works]
        futures: list[Future[list[list[bytes]]]] = []
        try:
            for reading in cut_readings(cut, most_bytes=self._piece_bytes):
                futures.append(self._pool.submit(self._make, reading, attempts, advance))
                for number, block in enumerate(reading.blocks):
                    for place in block.places:
                        works[place.shard].parts.append(_Part(place, number, futures[-1]))
            yield
        finally:
            # Also when interrupted: a reading that still writes needs its attempts open.
            for future in futures:
                future.cancel()
            wait(futures)

    def _make(
        self, reading: Reading, attempts: Sequence[Attempt], advance: Callable[[int], None]
    ) -> list[list[bytes]]:
        """Make a reading's blocks, write each to all its places and return its pieces' digests."""
        workspace, digests = self._workspace(), []
        with KeptReaders(self._readers, reading, workspace.kept) as readers:
            for placed in reading.blocks:
                if self._stop.is_set():
                    hint = "Finished shards are kept; go on with --resume."
                    raise InterruptedRunError("interrupted", hint=hint)
                runs = fill_block(placed.block, readers, workspace)
                readers.made(placed)
                digests.append(digest_pieces(placed.block, runs, workspace.buffer))
                write_block(placed, runs, workspace, attempts, advance)
        return digests

    def _workspace(self) -> Workspace:
        if not hasattr(self._local, "workspace"):
            self._local.workspace = Workspace(self._piece_bytes)
        workspace: Workspace = self._local.workspace
        return workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """A shard under way: its attempt, the readers that it uses, and the parts that it is made of.

    `operations` are what is left to do beside the ranges that are `shared`.
    """

    shard: ShardPlan
    header: Header
    operations: Sequence[Operation]
    shared: Ranges
    attempt: Attempt
    used: list[RangeReader]
    started: float
    parts: list["_Part"] = field(default_factory=list)


class _Part(NamedTuple):
    """What is written to one place of a shard, by which block of a reading."""

    place: Place
    block: int
    made: Future[list[list[bytes]]]


class _Opened:
    """Attempts that aren't whole yet: as a context it ends them all, and removes them after an error."""

    def __init__(self) -> None:
        self._attempts: list[Attempt] = []

    def add(self, attempt: Attempt) -> Attempt:
        self._attempts.append(attempt.__enter__())
        return attempt

    def release(self, attempt: Attempt) -> None:
        self._attempts.remove(attempt)
        attempt.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with ExitStack() as stack:
            for attempt in self._attempts:
                stack.callback(attempt.__exit__, kind, error, traceback)


def _written_ranges(shard: ShardPlan, operations: Sequence[Operation]) -> Iterator[tuple[int, int]]:
    """Yield what of a shard is written, so that space is taken for that alone: zeros stay a hole."""
    start, stop = 0, len(shard.header)
    for operation in operations:
        if isinstance(operation, Zero):
            continue
        if operation.offset != stop:
            yield start, stop - start
            start = operation.offset
        stop = operation.offset + operation.length
    yield start, stop - start


def _digests(work: _Work) -> dict[tuple[int, int], bytes]:
    """Wait for a work's parts and return the digest of each piece, by tensor and number."""
    done = wait([part.made for part in work.parts], return_when=FIRST_EXCEPTION).done
    failures = [f.exception() for f in done if not f.cancelled() and f.exception() is not None]
    for failure in sorted(failures, key=lambda error: isinstance(error, InterruptedRunError)):
        assert failure is not None
        raise failure
    return {
        piece: digest
        for part in work.parts
        for piece, digest in zip(
            part.place.pieces, part.made.result()[part.block][part.place.first :], strict=False
        )
    }


def _finished(work: _Work, pieces: dict[tuple[int, int], bytes]) -> Receipt:
    """Check and sync a written attempt and return its receipt."""
    for reader in work.used:
        reader.check_unchanged()
    _check_header(work.attempt, work.shard)
    work.attempt.finish()
    tensors = _tensor_digests(work, pieces)
    digest = shard_digest(work.shard.header, (raw for _, raw in tensors if raw))
    return Receipt(
        shard=work.shard.name,
        attempt=work.attempt.name,
        size=work.shard.size,
        digest=digest.hex(),
        tensors=tuple((name, raw.hex()) for name, raw in tensors),
        seconds=time.monotonic() - work.started,
    )


def _tensor_digests(work: _Work, pieces: dict[tuple[int, int], bytes]) -> list[tuple[str, bytes]]:
    """Return name and digest of each tensor in order of offset: of no piece if it is empty.

    A tensor of which a part is shared wasn't read whole and has none, which is no bytes.
    """
    by_tensor: dict[int, list[bytes]] = {}
    for (tensor, _), digest in sorted(pieces.items()):
        by_tensor.setdefault(tensor, []).append(digest)
    return [
        (name, b"" if _is_shared(work, name) else combined_digest(by_tensor.get(index, [])))
        for index, name in enumerate(work.header.in_order())
    ]


def _is_shared(work: _Work, name: str) -> bool:
    tensor = work.header.tensors[name]
    index = bisect_right(work.shared, (tensor.offset + tensor.length - 1, work.shard.size)) - 1
    return bool(tensor.length) and index >= 0 and work.shared[index][1] > tensor.offset


def _check_header(attempt: Attempt, shard: ShardPlan) -> None:
    written = bytearray(len(shard.header))
    attempt.read_into(0, memoryview(written))
    if written != shard.header:
        raise StorageError(
            f"{attempt.name}: the header read back isn't the one written",
            hint="The disk or file system loses what is written to it: check it, or write elsewhere.",
        )
