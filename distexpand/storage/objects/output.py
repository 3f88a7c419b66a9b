"""Which way outputs take to a store: streamed to S3, by a local file to the others."""

from collections.abc import Iterator
from contextlib import contextmanager

from distexpand.storage.local.directories import LocalOutput
from distexpand.storage.local.scratch import is_streamed
from distexpand.storage.local.staging import StagingFolder
from distexpand.storage.objects.copied_names import CopiedNames
from distexpand.storage.objects.files import ObjectFiles
from distexpand.storage.objects.final_names import FinalNames
from distexpand.storage.s3.names import S3Names


@contextmanager
def final_names(files: ObjectFiles, scratch: LocalOutput | None) -> Iterator[FinalNames]:
    """Return how files get their names in a store.

    Args:
        files: those of the output.
        scratch: where shards are put together that can't be streamed; a temporary folder if not given.

    Raises:
        MissingDependencyError: a client isn't installed.
        StorageError: what the environment says of credentials can't be used.
    """
    if is_streamed(files.address.scheme):
        yield S3Names(files.address)
    elif scratch is not None:
        yield CopiedNames(files, scratch)
    else:
        with StagingFolder() as folder:
            yield CopiedNames(files, LocalOutput(folder.path))
