"""Remove what runs left beside an output."""

from pathlib import Path

from distexpand.commit.cleaning import Cleaned
from distexpand.commit.cleaning import clean_output as clean_directory
from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.runner.place import Output, output_store
from distexpand.storage.address import HUB
from distexpand.storage.local.staging import remove_abandoned


def clean_output(output: Output) -> Cleaned:
    """Remove what runs left beside an output that nobody will commit; what a resume needs stays.

    Raises:
        UsageError: there is no output of ours.
        OutputError: a run is at work on it.
        StorageError: something can't be removed.
    """
    if isinstance(output, Path):
        return clean_directory(output)
    remove_abandoned()
    if output.scheme == HUB:
        from distexpand.commit.hub.committer import clean_hub_output  # noqa: PLC0415  # for who needs it

        branches = clean_hub_output(output)
        finished = MANIFEST_NAME in output_store(output).files()
        return Cleaned(files=len(branches), bytes=0, finished=finished)
    from distexpand.commit.objects.cleaning import clean_object_output  # noqa: PLC0415  # for who needs it

    return clean_object_output(output)
