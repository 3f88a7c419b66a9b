"""What was looked at, how it is, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """As it should be; could be better; in the way of a run."""

    OK = "ok"
    ADVICE = "advice"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing that was looked at: its name, how it is in words, and the next step where there is one."""

    name: str
    words: str
    state: State = State.OK
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What belongs together."""

    title: str
    found: tuple[Found, ...]


def problems(sections: Iterable[Section]) -> int:
    """Return how many problems there are."""
    return sum(found.state is State.PROBLEM for section in sections for found in section.found)
