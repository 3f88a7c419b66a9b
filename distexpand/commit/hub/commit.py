"""One commit to a branch of the Hub, made once, on the state that was looked at, or not at all.

Every commit names the commit that it follows; the Hub refuses it if the branch
has moved. So of two runs that write one branch, one is told. An answer that was
lost says nothing of whether the commit was made, and the same commit made again
is refused as well: so what the branch holds then is asked whether it is ours.

An error that is raised here doesn't say that nothing was made: a request may be
carried out after we gave up on it, and a server may say that it is busy when it
has done the work. Who commits again afterwards has to look for that.
"""

import io
from collections.abc import Callable, Sequence
from typing import Any

from distexpand.commit.hub.upload import offers_xet
from distexpand.errors import OutputTakenError
from distexpand.storage.hub.asking import ATTEMPTS, pause_before_asking_again
from distexpand.storage.hub.client import set_time_limits
from distexpand.storage.hub.errors import hub_error, is_passing, root_error, status_of
from distexpand.storage.hub.repository import HubRepository

TOO_MANY = 429
_GONE = 404
_MOVED = 412


class BranchMovedError(OutputTakenError):
    """There is another commit on the branch, `head`, than the one to follow; or no branch any more."""

    head: str | None = None


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
        HubError: the Hub refused, or stayed out of reach; the commit may have been made even so. That
            the Hub takes no more for now, so many being allowed an hour, is told at once (`TOO_MANY`).
    """
    without_xet = False
    for attempt in range(ATTEMPTS):
        set_time_limits()
        try:
            return _sent(repository, branch, operations, parent, message)
        except Exception as error:  # noqa: BLE001  # whatever the client raises, also of its own bugs
            failed = error
        if isinstance(failed, ConnectionError) and not without_xet:
            without_xet = not offers_xet(repository, branch)
        if without_xet:
            operations = [_as_opened(operation) for operation in operations]
        status = status_of(root_error(failed))
        # A branch that is said to have moved, and shows no other commit, will show it soon.
        passing = is_passing(failed) or status == _MOVED
        if status == _GONE or (passing and status != TOO_MANY):
            head = repository.branches().get(branch)
            if head is not None and head != parent and is_ours(head):
                return head
            if head != parent:
                raise _moved(repository, branch, head)
        if status == TOO_MANY or attempt + 1 == ATTEMPTS or not passing:
            raise hub_error(failed, repository.place, repository.name)
        pause_before_asking_again(failed, attempt, repository.place)
    raise AssertionError


def _moved(repository: HubRepository, branch: str, head: str | None) -> BranchMovedError:
    error = BranchMovedError(f"{repository.place}: branch {branch} has moved since it was looked at")
    error.head = head
    return error


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


def _as_opened(operation: Any) -> Any:
    """Return an operation that gives its bytes as an open file, which the library doesn't send by Xet.

    What is large among small files (a tokenizer, the plan of a deep stack) then also gets to a Hub that
    doesn't have that. Made anew after each failure, for that may have read half of the file.
    """
    raw = getattr(operation, "path_or_fileobj", None)
    if isinstance(raw, io.BytesIO):
        raw = raw.getvalue()
    if not raw or not isinstance(raw, bytes):  # empty is what stands for a shard that was sent before
        return operation
    return type(operation)(path_in_repo=operation.path_in_repo, path_or_fileobj=io.BytesIO(raw))
