"""Asking the Hub again.

The client library asks again where it moves bytes, but puts most questions to
the Hub's interface once. What is asked here either changes nothing or is safe
to ask twice.
"""

import random
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from distexpand.pauses import Retry, pause_to_retry
from distexpand.storage.hub.client import hub_utilities, set_time_limits
from distexpand.storage.hub.errors import hub_error, is_passing, root_error, status_of

ATTEMPTS = 6
_ATTEMPTS_TO_FIND_THE_HUB = 3
"""Where it has never answered this process, there is no network more often than a broken one."""

FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 30.0
_LONGEST_TOLD_SECONDS = 3600.0
_TOO_MANY = 429

Answer = TypeVar("Answer")
_has_answered = threading.Event()


def ask(question: Callable[[], Answer], *, place: str, repository: str) -> Answer:
    """Return what the library answers, asking again as long as the trouble may pass.

    Args:
        question: calls the library; may be called several times.
        place: how messages name what was worked on.
        repository: `org/name`.

    Raises:
        HubError: the Hub refused or stayed out of reach.
        InterruptedRunError: the work is to end.
    """
    for attempt in range(ATTEMPTS):
        set_time_limits()
        try:
            answer = question()
        except Exception as error:  # noqa: BLE001  # whatever the client raises, also of its own bugs
            if status_of(error):
                _has_answered.set()
            attempts = ATTEMPTS if _has_answered.is_set() else _ATTEMPTS_TO_FIND_THE_HUB
            if attempt + 1 >= attempts or not is_passing(error):
                raise hub_error(error, place, repository) from None
            pause_before_asking_again(error, attempt, place)
        else:
            _has_answered.set()
            return answer
    raise AssertionError


def pause_before_asking_again(error: BaseException, attempt: int, place: str) -> None:
    """Wait as long as is right after a failure; attempts count from 0.

    Raises:
        InterruptedRunError: the work is to end.
    """
    status = status_of(root_error(error))
    reason = f"the Hub answers {status}" if status else "no answer"
    pause_to_retry(Retry(place=place, reason=reason, seconds=_seconds_to_wait(error, attempt)))


def _seconds_to_wait(error: BaseException, attempt: int) -> float:
    """Return how long to wait: as long as the server says, else longer each time, never all at once."""
    told = _told_to_wait(root_error(error))
    if told is not None:
        return min(told, _LONGEST_TOLD_SECONDS) + random.random()  # noqa: S311  # no secret
    longest = min(FIRST_WAIT_SECONDS * 2.0**attempt, _LONGEST_WAIT_SECONDS)
    return longest * random.uniform(0.5, 1)  # noqa: S311  # no secret


def _told_to_wait(error: BaseException) -> float | None:
    response: Any = getattr(error, "response", None)
    if response is None:
        return None
    limit = hub_utilities().parse_ratelimit_headers(response.headers)
    # The Hub gives these headers with every answer; they say something only once nothing is left.
    if status_of(error) == _TOO_MANY and limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    after = response.headers.get("Retry-After", "").strip()
    return float(after) if after.isdigit() else None
