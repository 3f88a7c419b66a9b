"""What a worker does: one attempt at one shard, from opening the sources to the receipt.

A failure that we know is a value here, not an exception: it arrives whole,
with the node's name, and the driver alone decides what follows. A cancelled
attempt stops between two blocks and removes its file.
"""

import json
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from distexpand.engine.receipt import Receipt
from distexpand.engine.shard import ShardEngine
from distexpand.engine.transforms import single_threaded_shard
from distexpand.errors import DistexpandError, StorageError
from distexpand.intake.pins import pin_of
from distexpand.planning.model import ShardPlan
from distexpand.storage.local.directories import LocalOutput
from distexpand.storage.local.io_path import choose_reading, choose_writing
from distexpand.storage.local.open_files import allow_open_files
from distexpand.storage.local.os_errors import storage_error
from distexpand.storage.opening import open_stores
from distexpand.storage.ranges import RangeReader

_REPORT_SECONDS = 1.0
_KIB = 1024
_LOG_EVERY = 5
"""Reports per line in the worker's log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedSource:
    """A source file of an order: its number in the plan, where it lies, and its pin."""

    number: int
    model: str
    location: str
    path: str
    size: int
    pin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One attempt: what to write, from where, under which name, in which folder."""

    run: str
    attempt: str
    shard: ShardPlan
    sources: tuple[OrderedSource, ...]
    attempts: str
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """How an attempt ended: with a receipt, or with an error of ours."""

    node: str
    receipt: Receipt | None = None
    error: DistexpandError | None = None


def execute_order(order: Order, board: Any) -> Attempted:
    """Execute an attempt in a Ray worker and return how it ended."""
    node = node_name()
    counted = _Counted()
    try:
        with _reporting(order, board, node, counted):
            receipt = _execute(order, counted.advance)
    except DistexpandError as error:
        _log(order, node, "failed", reason=error.message)
        return Attempted(node=node, error=error)
    except OSError as error:  # such as a mount that went stale under a step that nobody expected to fail
        failure = storage_error("use", error.filename or order.attempts, error)
        _log(order, node, "failed", reason=failure.message)
        return Attempted(node=node, error=failure)
    except BaseException as error:
        _log(order, node, "cancelled", reason=type(error).__name__)
        raise
    _log(order, node, "whole", seconds=round(receipt.seconds, 3), peak_memory=_peak_memory())
    return Attempted(node=node, receipt=receipt)


def node_name() -> str:
    """Return what people call this worker's node: its address, and its name where it has another."""
    context = ray.get_runtime_context()
    return f"{ray.util.get_node_ip_address()}/{context.get_node_id()[:8]}"


@contextmanager
def opened_sources(sources: tuple[OrderedSource, ...]) -> Iterator[Mapping[int, RangeReader]]:
    """Open and check the sources of an order.

    Raises:
        StorageError: one is missing, or isn't the file that was planned.
    """
    stores = open_stores(source.location for source in sources)
    with ExitStack() as stack:
        readers: dict[int, RangeReader] = {}
        for source in sources:
            reader = stores[source.location].open(source.path)
            stack.callback(reader.close)
            origin = f"{source.location}/{source.path}"
            if reader.size != source.size or pin_of(reader, source.path, origin=origin) != source.pin:
                raise StorageError(
                    f"{origin}: isn't the file that was planned (model {source.model})",
                    hint="All nodes have to see the same file; plan again if it was changed.",
                )
            readers[source.number] = reader
        yield readers


def _execute(order: Order, advance: Callable[[int], None]) -> Receipt:
    """Execute the shard in a thread of its own.

    A cancel interrupts the main thread at any place, perhaps twice. There it could close an attempt
    under threads that still write, which would then write into whatever file is opened next.
    """
    stop = threading.Event()
    key = order.attempt.removeprefix(f"{order.shard.name}.")
    folder = Path(order.attempts)
    output = LocalOutput(folder, key=key, way=choose_writing(folder, trial=False).way)
    with (
        single_threaded_shard(order.shard),
        opened_sources(order.sources) as readers,
        ThreadPoolExecutor(order.threads) as pool,
        ThreadPoolExecutor(1) as lane,
    ):
        choose_reading(readers.values(), trial=False, direct=allow_open_files(2 * len(readers)))
        engine = ShardEngine(readers, pool, stop)
        try:
            return lane.submit(engine.execute, order.shard, output, advance).result()
        finally:
            stop.set()


class _Counted:
    def __init__(self) -> None:
        self.nbytes = 0
        self._lock = threading.Lock()

    def advance(self, nbytes: int) -> None:
        with self._lock:
            self.nbytes += nbytes


@contextmanager
def _reporting(order: Order, board: Any, node: str, counted: _Counted) -> Iterator[None]:
    """Tell the board about once a second how far the attempt is, and the log now and then."""
    ended = threading.Event()

    def report() -> None:
        count = 0
        while True:
            board.report.remote(order.attempt, node, counted.nbytes)
            if count % _LOG_EVERY == 0:
                _log(order, node, "writing", done_bytes=counted.nbytes, size=order.shard.size)
            count += 1
            if ended.wait(_REPORT_SECONDS):
                return

    thread = threading.Thread(target=report, daemon=True, name="report")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _peak_memory() -> int:
    """Return the most resident memory that this worker has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB


def _log(order: Order, node: str, state: str, **fields: Any) -> None:
    """Write one line of JSON to the worker's own log."""
    head = {"time": round(time.time(), 3), "run": order.run, "shard": order.shard.name}
    line = head | {"attempt": order.attempt, "node": node, "state": state} | fields
    sys.stderr.write(json.dumps(line) + "\n")
    sys.stderr.flush()
