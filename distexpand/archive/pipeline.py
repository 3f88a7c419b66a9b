"""Work done by several threads and handed over in order, with a bounded number of results under way."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Protocol, TypeVar

from distexpand.errors import InterruptedRunError

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2
"""Items beyond those that are worked on: none of the threads waits while a result is taken."""


class Stop(Protocol):
    """Something that says whether to end."""

    def is_set(self) -> bool:
        """Whether it was said."""
        ...


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int, stop: Stop
) -> Generator[tuple[Item, Result]]:
    """Yield each item with what `work` makes of it, in order; what it raises ends all.

    Items are taken as they are needed, so that `items` may open what `work` reads.

    Raises:
        InterruptedRunError: `stop` was set.
    """
    source = iter(items)
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                for item in islice(source, threads + _AHEAD - len(waiting)):
                    waiting.append((item, pool.submit(work, item)))
                if not waiting:
                    return
                item, future = waiting.popleft()
                yield item, future.result()
                if stop.is_set():
                    raise InterruptedRunError("interrupted; nothing was left, call again to start anew")
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
