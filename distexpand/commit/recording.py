"""Give a finished output's manifest the digests that it lacks.

What shares blocks with its source was never read, so its digests are known
only once somebody reads the output. The manifest is then what a run that
copied everything would have written.
"""

from pathlib import Path

from distexpand.commit.files import sync_directory, write_whole
from distexpand.commit.manifest import MANIFEST_NAME, Manifest, encode_manifest


def record_manifest(output: Path, manifest: Manifest) -> None:
    """Replace an output's manifest at once.

    Raises:
        StorageError: it can't be written; the one before is still there.
    """
    write_whole(output / MANIFEST_NAME, encode_manifest(manifest), attempts=output)
    sync_directory(output)
