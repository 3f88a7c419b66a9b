"""A process that is killed, or loses an answer, at its n-th change of an object store."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import botocore.client
import obstore
import pytest
from botocore.exceptions import ConnectionClosedError
from obstore.exceptions import GenericError

from tests.commit.crashes import Crash

_CHANGES = {
    "CreateMultipartUpload",
    "UploadPart",
    "UploadPartCopy",
    "CompleteMultipartUpload",
    "AbortMultipartUpload",
}


class Steps:
    """Counts the calls that change a store, and says what becomes of each."""

    def __init__(self, step: int, fail: Callable[[str], BaseException], *, dies: bool) -> None:
        self.made: list[str] = []
        self._step = step
        self._fail = fail
        self._dies = dies
        self._lock = threading.Lock()

    def call(self, name: str, real: Callable[[], Any]) -> Any:
        with self._lock:
            self.made.append(name)
            number = len(self.made)
        if self._dies and number > self._step:
            raise self._fail(name)
        result = real()
        if number == self._step:
            raise self._fail(name)
        return result

    @property
    def happened(self) -> bool:
        """Whether there were so many calls."""
        return len(self.made) >= self._step


@contextmanager
def crashing_after(step: int) -> Iterator[Steps]:
    """End the program after its n-th change; from then on every one fails, as a dead process makes none."""
    with _patched(Steps(step, lambda _: Crash(), dies=True)) as steps:
        yield steps


@contextmanager
def losing_answer(step: int) -> Iterator[Steps]:
    """Let the n-th change happen, but have the client say that it failed for good."""

    def failure(name: str) -> BaseException:
        if name in _CHANGES:
            return ConnectionClosedError(endpoint_url="http://server/?signature=secret")
        return GenericError("HTTP error: HttpError { kind: Interrupted }")

    with _patched(Steps(step, failure, dies=False)) as steps:
        yield steps


@contextmanager
def _patched(steps: Steps) -> Iterator[Steps]:
    make_call = botocore.client.BaseClient._make_api_call

    def call(self: Any, operation: str, arguments: Any) -> Any:
        real = lambda: make_call(self, operation, arguments)  # noqa: E731
        return steps.call(operation, real) if operation in _CHANGES else real()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.client.BaseClient, "_make_api_call", call)
        for name in ("put", "copy", "delete"):
            patch.setattr(obstore, name, _counted(steps, name, getattr(obstore, name)))
        yield steps


def _counted(steps: Steps, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments, **named: steps.call(name, lambda: real(*arguments, **named))
