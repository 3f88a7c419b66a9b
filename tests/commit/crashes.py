"""A process that is killed at its n-th change of the file system."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest


class Crash(BaseException):
    """Stands for a kill: nothing may catch it."""


CALLS = (
    "open",
    "write",
    "pwrite",
    "rename",
    "unlink",
    "fsync",
    "ftruncate",
    "posix_fallocate",
    "mkdir",
    "rmdir",
)


@contextmanager
def crashing_at(step: int, *, after: bool) -> Iterator[list[str]]:
    """End the program at its n-th call that changes the file system, before or after the call's effect.

    From then on every such call fails as well, since a dead process makes none.
    """
    made: list[str] = []

    def wrap(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            if name == "open" and not int(arguments[1]) & os.O_CREAT:  # type: ignore[call-overload]
                return real(*arguments, **named)
            made.append(name)
            if len(made) > step or (len(made) == step and not after):
                raise Crash
            result = real(*arguments, **named)
            if len(made) == step:
                raise Crash
            return result

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, wrap(name, getattr(os, name)))
        yield made


def crash_at(step: int, work: Callable[[], object], *, after: bool = True) -> bool:
    """Do some work until the crash and say whether there was one."""
    try:
        with crashing_at(step, after=after):
            work()
    except Crash:
        return True
    return False
