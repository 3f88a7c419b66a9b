"""Collect what runs left in an object store: uploads that nobody will complete, files of runs that are over.

Nothing of worth goes: final names stay, and plan, receipts and what receipts name, so that an
unfinished run can be resumed afterwards. An output that somebody is writing is left alone. Uploads
are invisible in listings of a bucket, but the store keeps and bills their parts.
"""

from distexpand.commit.cleaning import Cleaned
from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.commit.objects import work as ow
from distexpand.commit.objects.lease import ObjectLease, Pace, take
from distexpand.commit.objects.leased_names import LeasedNames
from distexpand.commit.objects.occupied import look, own_names
from distexpand.errors import UsageError
from distexpand.storage.address import Address
from distexpand.storage.objects.files import ObjectFiles
from distexpand.storage.objects.final_names import FinalNames
from distexpand.storage.objects.output import final_names


def clean_object_output(address: Address, *, pace: Pace | None = None) -> Cleaned:
    """Remove the leftovers of an output's runs.

    Args:
        address: the output's folder.
        pace: of the lease that is held meanwhile.

    Raises:
        UsageError: the folder isn't one of ours.
        OutputTakenError: a run is at work on it.
        StorageError: something can't be removed.
    """
    files = ObjectFiles(address)
    contents = look(files)
    finished = MANIFEST_NAME in contents.visible
    if not finished and not contents.traces:
        raise UsageError(
            f"{address}: no output of distexpand", hint="Give the folder that a run was to write."
        )
    with final_names(files, None) as names:
        if finished and not contents.traces and not names.staged(own_names(files, contents)):
            return Cleaned(files=0, bytes=0, finished=True)
        folder = contents.work.folder if contents.work else ""
        lease = take(files, folder=folder, pace=pace or Pace())
        try:
            return _cleaned(files, names, lease)
        finally:
            lease.close()


def _cleaned(files: ObjectFiles, names: FinalNames, lease: ObjectLease) -> Cleaned:
    # Another run may have come and gone since the first look.
    contents = look(files)
    finished = MANIFEST_NAME in contents.visible
    over = contents.work is None or (finished and not ow.read_obsolete(contents.work))
    kept = "" if over else lease.folder
    receipts = [] if over or contents.work is None else ow.read_receipts(contents.work)
    own, keep = own_names(files, contents), [receipt.attempt for receipt in receipts]
    staged = names.staged(own, keep=keep)
    count, size = len(staged), names.staged_bytes(staged)
    LeasedNames(files, names, lease).clear(own, keep=keep)
    sizes = files.list()
    left = ow.leftovers(files, keep=kept)
    if over:
        ow.wind_up(files, lease)
    else:
        files.remove(left)
    return Cleaned(
        files=count + len(left), bytes=size + sum(sizes.get(path, 0) for path in left), finished=finished
    )
