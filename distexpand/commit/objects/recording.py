"""Give a finished output in an object store the digests that its manifest lacks, as `recording` does here."""

from distexpand.commit.manifest import MANIFEST_NAME, Manifest, encode_manifest
from distexpand.commit.objects.occupied import look
from distexpand.errors import OutputError
from distexpand.storage.address import Address
from distexpand.storage.objects.files import ObjectFiles


def record_object_manifest(address: Address, before: Manifest, after: Manifest) -> None:
    """Replace an output's manifest at once, if it is still the one that was verified.

    Raises:
        OutputError: a run has begun to replace the output meanwhile.
        StorageError: it can't be written; the one before is still there.
    """
    files = ObjectFiles(address)
    found = files.read(MANIFEST_NAME)
    if (
        found is None
        or found.raw != encode_manifest(before)
        or look(files).work is not None
        or files.replace(MANIFEST_NAME, encode_manifest(after), found.version) is None
    ):
        raise OutputError(
            f"{address}: changed while it was read, nothing was recorded",
            hint="Verify it again when no run is at work on it.",
        )
