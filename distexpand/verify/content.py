"""Content: are the bytes those of the manifest, and those that the recipe makes of the sources."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from distexpand.commit.manifest import Manifest
from distexpand.formats.header import parse_header
from distexpand.intake.pins import read_header
from distexpand.plan.codec import plan_digest
from distexpand.plan.model import Plan
from distexpand.storage.local import LocalSource
from distexpand.storage.ranges import RangeReader
from distexpand.verify.digests import file_digests, planned_digests
from distexpand.verify.report import Difference


def check_content(
    output: Path, manifest: Manifest, *, threads: int, advance: Callable[[int], None]
) -> Iterator[Difference]:
    """Yield every tensor whose bytes on disk don't have the manifest's digest."""
    store = LocalSource(output)
    for shard in manifest.shards:
        raw, size = read_header(store, shard.name)
        header = parse_header(raw, file_size=size, origin=shard.name)
        reader = store.open(shard.name)
        try:
            digests = file_digests(header, reader, threads=threads, advance=advance)
        finally:
            reader.close()
        for name, digest in digests.items():
            if shard.tensors.get(name) != digest:
                yield Difference(
                    check="content",
                    file=shard.name,
                    tensor=name,
                    message="the bytes on disk aren't those that were written (digest differs)",
                )


def check_against_sources(
    manifest: Manifest,
    plan: Plan,
    readers: Sequence[RangeReader],
    *,
    threads: int,
    advance: Callable[[int], None],
) -> Iterator[Difference]:
    """Yield every tensor whose digest isn't what the recipe makes of the sources.

    The output's bytes are compared with the manifest by `check_content`; here the manifest
    is compared with a computation from the sources.
    """
    recorded = {name: digest for shard in manifest.shards for name, digest in shard.tensors.items()}
    files = {name: shard.name for shard in manifest.shards for name in shard.tensors}
    for shard in plan.shards:
        expected = planned_digests(shard, readers, threads=threads, advance=advance)
        for name, digest in expected.items():
            if recorded.pop(name, None) != digest:
                yield Difference(
                    check="sources",
                    file=files.get(name, shard.name),
                    tensor=name,
                    message="isn't what the recipe makes of the sources",
                )
    for name in recorded:
        yield Difference(
            check="sources", file=files[name], tensor=name, message="the recipe doesn't make such a tensor"
        )


def same_plan(manifest: Manifest, plan: Plan) -> bool:
    """Whether a plan made anew is the one that the output was made by, byte for byte."""
    return manifest.plan_digest == plan_digest(plan)
