"""Which files of an output are distexpand's own, and still as it wrote them: only those may be replaced.

Small files are compared by their SHA-256. Shards are compared by size and by
the names of the tensors in their header, as reading all weights would cost as
much as making them: weights that were changed in place under the same header
and size aren't noticed here. `verify` finds them.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from distexpand.commit.index_text import index_text
from distexpand.commit.journal import read_journal
from distexpand.commit.manifest import MANIFEST_NAME, Manifest
from distexpand.commit.work_directory import WorkDirectory, stored_plan
from distexpand.engine.receipt import Receipt
from distexpand.errors import CheckpointError, StorageError, UsageError
from distexpand.formats.header import parse_header
from distexpand.formats.index import INDEX_NAME, is_plain_path
from distexpand.intake.pins import digest, read_header, read_whole
from distexpand.planning.check import shard_header
from distexpand.planning.model import Plan
from distexpand.storage.ranges import SourceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFile:
    """What is known of a file that distexpand wrote; nothing where a field is `None`.

    `size` is bytes, `sha256` that of all bytes, `tensors` the names in a shard's header.
    """

    name: str
    size: int | None = None
    sha256: str | None = None
    tensors: Collection[str] | None = None


def and_more(names: Collection[str]) -> str:
    """Return the first of some names in their order, and how many more there are."""
    return min(names) + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def files_of_manifest(manifest: Manifest) -> Iterator[OwnFile]:
    """Yield the files of a finished output, beside the manifest itself."""
    for shard in manifest.shards:
        yield OwnFile(name=shard.name, size=shard.size, tensors=shard.tensors)
    for name, sha256 in manifest.files.items():
        yield OwnFile(name=name, sha256=sha256)


def files_of_unfinished(work: WorkDirectory) -> Iterator[OwnFile]:
    """Yield what an unfinished run may have given final names.

    Where its plan is damaged or of another version, the journal names the shards.
    """
    try:
        plan = stored_plan(work)
    except UsageError:
        yield from files_of_receipts(read_journal(work.journal).values())
        return
    yield from files_of_plan(plan)


def files_of_receipts(receipts: Iterable[Receipt]) -> Iterator[OwnFile]:
    """Yield the shards that receipts name."""
    for receipt in receipts:
        if is_plain_path(receipt.shard):
            yield OwnFile(name=receipt.shard, size=receipt.size, tensors=dict(receipt.tensors))


def names_of_plan(plan: Plan) -> list[str]:
    """Return the names of all files that a plan's output may have."""
    names = [shard.name for shard in plan.shards]
    names += [text.name for text in plan.texts]
    names += [copied.name for copied in plan.copies]
    return [*names, INDEX_NAME, MANIFEST_NAME]


def files_of_plan(plan: Plan) -> Iterator[OwnFile]:
    """Yield the files of a plan's output."""
    for shard in plan.shards:
        yield OwnFile(name=shard.name, size=shard.size, tensors=shard_header(shard).tensors)
    for text in plan.texts:
        yield OwnFile(name=text.name, sha256=digest(text.text.encode()))
    for copied in plan.copies:
        yield OwnFile(name=copied.name, sha256=plan.sources[copied.source].pin)
    yield OwnFile(name=INDEX_NAME, sha256=digest(index_text(plan).encode()))
    yield OwnFile(name=MANIFEST_NAME)


def is_as_written(store: SourceStore, own: OwnFile, *, size: int) -> bool:
    """Whether the file of that name, of `size` bytes, is the one that was written, as far as is known."""
    try:
        if own.size not in {None, size}:
            return False
        if own.sha256 is not None and digest(read_whole(store, own.name)) != own.sha256:
            return False
        if own.tensors is None:
            return True
        raw, size = read_header(store, own.name)
        return parse_header(raw, file_size=size, origin=own.name).tensors.keys() == set(own.tensors)
    except (CheckpointError, StorageError):
        return False
