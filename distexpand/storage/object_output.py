"""Which way outputs take to a store: streamed to S3, by a local file to the others."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distexpand.storage.copied_names import CopiedNames
from distexpand.storage.final_names import FinalNames
from distexpand.storage.local import LocalOutput
from distexpand.storage.object_files import ObjectFiles
from distexpand.storage.s3_names import S3Names
from distexpand.storage.scratch import is_streamed, scratch_place


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
        with tempfile.TemporaryDirectory(prefix="distexpand-", dir=scratch_place()) as folder:
            yield CopiedNames(files, LocalOutput(Path(folder)))
