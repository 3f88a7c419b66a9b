"""Give a finished output's manifest the digests that it lacks.

What shares blocks with its source was never read, so its digests are known
only once somebody reads the output. If it is as it was made, the manifest is
then what a run that copied everything would have written; whether it is, only
a comparison with the sources can tell.
"""

import secrets
from contextlib import suppress
from pathlib import Path

from distexpand.commit.files import sync_directory, write_whole
from distexpand.commit.manifest import MANIFEST_NAME, Manifest, encode_manifest
from distexpand.commit.work_directory import DONE_PREFIX, current
from distexpand.errors import OutputError
from distexpand.storage.local.os_errors import storage_error


def record_manifest(output: Path, before: Manifest, after: Manifest) -> None:
    """Replace an output's manifest at once, if it is still the one that was verified.

    Raises:
        OutputError: a run has begun to replace the output meanwhile.
        StorageError: it can't be written; the one before is still there.
    """
    path, aside = output / MANIFEST_NAME, output / f"{DONE_PREFIX}{secrets.token_hex(8)}"
    try:
        aside.mkdir()
        if current(output).exists() or path.read_bytes() != encode_manifest(before):
            raise OutputError(
                f"{output}: changed while it was read, nothing was recorded",
                hint="Verify it again when no run is at work on it.",
            )
        write_whole(path, encode_manifest(after), attempts=aside)
    except OSError as error:
        raise storage_error("write", path, error) from None
    finally:
        with suppress(OSError):
            aside.rmdir()
    sync_directory(output)
