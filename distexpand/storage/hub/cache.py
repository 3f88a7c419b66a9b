"""The Hub's local cache: files that were downloaded already, and whole snapshots without a network.

Only read, never filled: what is streamed is used once, and a disk that has room
for the output may have none for the sources.
"""

from contextlib import suppress
from pathlib import Path

from distexpand.errors import StorageError
from distexpand.storage.hub.client import hub_library
from distexpand.storage.hub.errors import HubError
from distexpand.storage.hub.repository import HubFile
from distexpand.storage.local.reader import LocalReader

_BLOBS = "blobs"
"""Folder in which the cache keeps contents under the names that the Hub gives them."""


def open_cached(repository: str, commit: str, path: str, file: HubFile) -> LocalReader | None:
    """Open a file of a commit in the cache; nothing if it isn't there, or not as the Hub has it."""
    found = hub_library().try_to_load_from_cache(repository, path, revision=commit)
    if not isinstance(found, str) or _etag_in_cache(Path(found)) not in {file.etag, None}:
        return None
    with suppress(StorageError):
        reader = LocalReader(Path(found))
        if reader.size == file.size:
            reader.version = file.etag
            return reader
        reader.close()
    return None


def cached_snapshot(repository: str, revision: str | None, *, place: str) -> Path:
    """Return the folder of a commit in the cache, whose name is the commit's.

    Raises:
        HubError: the cache has none for that revision.
    """
    library = hub_library()
    try:
        # Which files are needed isn't known here, so that none is asked for.
        folder = library.snapshot_download(
            repository, revision=revision, local_files_only=True, ignore_patterns="*"
        )
    except (OSError, ValueError):
        raise HubError(
            f"{place}: isn't in the local cache, and the Hub isn't asked in offline mode",
            hint=f"Unset HF_HUB_OFFLINE, or download it where there is a network: hf download {repository}",
        ) from None
    return Path(folder)


def open_in_snapshot(path: Path) -> LocalReader:
    """Open a file of a snapshot, under the version that it has on the Hub where the cache tells it.

    Raises:
        StorageError: it isn't there or can't be read.
    """
    reader = LocalReader(path)
    reader.version = _etag_in_cache(path) or reader.version
    return reader


def _etag_in_cache(path: Path) -> str | None:
    """Return the content's name; nothing where the cache holds copies instead of links."""
    with suppress(OSError):
        content = path.resolve()
        if content.parent.name == _BLOBS:
            return content.name
    return None
