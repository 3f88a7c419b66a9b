"""Sending a whole shard to the Hub, apart from the commit that gives it its name.

With Xet the client finds out which chunks the Hub has, so that copied layers
hardly cross the network. It doesn't fall back where a Hub doesn't offer Xet
(mirrors, servers inside companies): there it is given an open file, for which
it takes the older way, whole or in parts.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from distexpand.storage.hub.client import hub_library, hub_utilities
from distexpand.storage.hub.errors import HubError
from distexpand.storage.hub.repository import HubRepository

_MISSING = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that is ready for a commit, which doesn't need it locally any more.

    `operation` is the library's, for a commit.
    """

    operation: Any
    sha256: str


def send_file(repository: HubRepository, branch: str, name: str, file: Path, *, xet: bool) -> Upload:
    """Send a file that is to be `name` on a branch.

    Args:
        repository: where.
        branch: where the commit will be.
        name: the file's path in the repository.
        file: the local file.
        xet: whether the client may send it by Xet, if it has that.

    Raises:
        HubError: the Hub refused or stayed out of reach.
    """
    return repository.ask(lambda: _sent(repository, branch, name, file, xet=xet))


def offers_xet(repository: HubRepository, branch: str) -> bool:
    """Whether the Hub takes files by Xet, where the client would send them so.

    Raises:
        HubError: it can't be asked.
    """
    if hub_library("huggingface_hub.constants").HF_HUB_DISABLE_XET or find_spec("hf_xet") is None:
        return True
    try:
        repository.ask(lambda: _ask_for_xet(repository, branch))
    except HubError as error:
        if error.status == _MISSING:
            return False
        raise
    return True


def _sent(repository: HubRepository, branch: str, name: str, file: Path, *, xet: bool) -> Upload:
    library = hub_library()
    with file.open("rb") as opened:
        operation = library.CommitOperationAdd(
            path_in_repo=name, path_or_fileobj=str(file) if xet else opened
        )
        repository.api.preupload_lfs_files(
            repository.name, additions=[operation], revision=branch, free_memory=True
        )
        sha256 = operation.upload_info.sha256.hex()
    if operation.path_or_fileobj != b"":
        # Small, and no large file by the repository's rules: its bytes go with the commit.
        operation = library.CommitOperationAdd(path_in_repo=name, path_or_fileobj=file.read_bytes())
    return Upload(operation=operation, sha256=sha256)


def _ask_for_xet(repository: HubRepository, branch: str) -> None:
    library = hub_library()
    response = library.get_session().get(
        f"{repository.api.endpoint}/api/models/{repository.name}/xet-write-token/{branch}",
        headers=hub_utilities().build_hf_headers(token=repository.api.token),
    )
    hub_utilities().hf_raise_for_status(response)
