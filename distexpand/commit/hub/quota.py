"""Waiting until the Hub takes commits again: it allows so many an hour to a repository.

A run whose shards are quicker than that goes on and commits several at once
later; only its end has to wait.
"""

import time
from collections.abc import Callable

from distexpand.commit.hub.commit import TOO_MANY
from distexpand.pauses import pause
from distexpand.storage.hub.errors import HubError

PATIENCE_SECONDS = 75 * 60.0
PAUSE_SECONDS = 60.0


def unless_too_many(act: Callable[[], None]) -> None:
    """Do something that commits; if the Hub takes no more commits for now, leave it undone.

    Raises:
        HubError: the Hub refused for another reason, or stayed out of reach.
    """
    try:
        act()
    except HubError as error:
        if error.status != TOO_MANY:
            raise


def once_allowed(act: Callable[[], None], told: Callable[[str], None]) -> None:
    """Do something that commits, as soon as the Hub takes commits again.

    Raises:
        HubError: the Hub refused for another reason or for too long, or stayed out of reach.
        InterruptedRunError: the work is to end.
    """
    began = time.monotonic()
    waits = 0
    while True:
        try:
            act()
        except HubError as error:
            if error.status != TOO_MANY or time.monotonic() > began + PATIENCE_SECONDS:
                raise
            if not waits:
                told(f"{error.message}; trying again every {PAUSE_SECONDS:.0f} s")
            waits += 1
            pause(PAUSE_SECONDS)
        else:
            return
