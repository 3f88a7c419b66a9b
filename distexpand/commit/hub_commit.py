"""One commit to a branch of the Hub, made once, on the state that was looked at, or not at all.

Every commit names the commit that it follows; the Hub refuses it if the branch
has moved. So of two runs that write one branch, one is told. An answer that was
lost says nothing of whether the commit was made, and the same commit made again
is refused as well: so what the branch holds then is asked whether it is ours.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from distexpand.errors import OutputTakenError
from distexpand.storage.hub_asking import ATTEMPTS, seconds_to_wait
from distexpand.storage.hub_client import set_time_limits
from distexpand.storage.hub_errors import hub_error, is_passing, library_failures, root_error, status_of
from distexpand.storage.hub_repository import HubRepository

TOO_MANY = 429
_GONE_OR_MOVED = frozenset({404, 412})


class BranchMovedError(OutputTakenError):
    """Somebody else has committed to the branch, or deleted it."""


def commit_once(
    repository: HubRepository,
    branch: str,
    operations: Sequence[Any],
    *,
    parent: str,
    message: str,
    is_ours: Callable[[str], bool],
) -> str:
    """Return the name of the commit.

    Args:
        repository: where.
        branch: that is to move.
        operations: the library's; files among them that are large may have been sent before.
        parent: the commit that the branch is believed to be at.
        message: the commit's title.
        is_ours: whether another commit, at which the branch is instead, is the one that was to be made.

    Raises:
        BranchMovedError: the branch isn't at `parent`.
        HubError: the Hub refused, or stayed out of reach. That it takes no more commits for now, so
            many being allowed an hour, is told at once (`TOO_MANY`).
    """
    for attempt in range(ATTEMPTS):
        set_time_limits()
        try:
            return _sent(repository, branch, operations, parent, message)
        except library_failures() as error:
            failed = error
        status = status_of(root_error(failed))
        if status != TOO_MANY and (status in _GONE_OR_MOVED or is_passing(failed)):
            head = repository.branches().get(branch)
            if head is not None and head != parent and is_ours(head):
                return head
            if head != parent:
                raise BranchMovedError(
                    f"{repository.place}: branch {branch} has moved since it was looked at"
                )
        if status == TOO_MANY or attempt + 1 == ATTEMPTS or not is_passing(failed):
            raise hub_error(failed, repository.place, repository.name)
        time.sleep(seconds_to_wait(failed, attempt))
    raise AssertionError


def _sent(
    repository: HubRepository, branch: str, operations: Sequence[Any], parent: str, message: str
) -> str:
    made = repository.api.create_commit(
        repository.name,
        list(operations),
        commit_message=message,
        revision=branch,
        parent_commit=parent,
    )
    return str(made.oid)
