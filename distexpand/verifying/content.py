"""Content: are the bytes those of the manifest, and those that the recipe makes of the sources."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from distexpand.commit.manifest import MANIFEST_NAME, Manifest, ShardRecord
from distexpand.formats.header import parse_header
from distexpand.intake.pins import digest as sha256
from distexpand.intake.pins import read_header
from distexpand.intake.weights import read_catalog
from distexpand.planning.check import shard_header
from distexpand.planning.digest_layout import shard_digest
from distexpand.planning.model import CONFIG_NAME, Plan
from distexpand.runner.progress import ProgressSink
from distexpand.storage.ranges import RangeReader, SourceStore
from distexpand.verifying.digests import file_digests, planned_digests
from distexpand.verifying.report import Difference


def read_content(
    store: SourceStore,
    manifest: Manifest,
    *,
    skip: Container[str] = (),
    threads: int,
    progress: ProgressSink,
) -> tuple[Manifest, list[Difference]]:
    """Read every tensor and compare it with its digest; `skip` names broken files.

    Every byte is read, holes too.

    Returns:
        The manifest with the digests that it lacked, and a difference for every tensor whose
        bytes aren't those of its digest.
    """
    shards, differences = [], []
    for shard in manifest.shards:
        if shard.name in skip:
            shards.append(shard)
            continue
        raw, digests = _shard_digests(store, shard, threads=threads, progress=progress)
        found = [*_content_differences(shard, raw, digests)]
        differences += found
        shards.append(_completed(shard, raw, digests))
    return replace(manifest, shards=tuple(shards)), differences


def _shard_digests(
    store: SourceStore, shard: ShardRecord, *, threads: int, progress: ProgressSink
) -> tuple[bytes, dict[str, str]]:
    """Return a file's header and the digests of its tensors as they are on disk."""
    progress.shard_begun(shard.name)
    raw, size = read_header(store, shard.name)
    header = parse_header(raw, file_size=size, origin=shard.name)
    reader = store.open(shard.name)
    try:
        digests = file_digests(header, reader, threads=threads, advance=progress.advance)
    finally:
        reader.close()
    progress.advance(len(raw))
    progress.shard_done(shard.name)
    return raw, digests


def _content_differences(shard: ShardRecord, raw: bytes, digests: Mapping[str, str]) -> Iterator[Difference]:
    known = {name: digest for name, digest in digests.items() if shard.tensors.get(name) != ""}
    wrong = [name for name, digest in known.items() if shard.tensors.get(name) != digest]
    if not wrong and shard_digest(raw, map(bytes.fromhex, known.values())).hex() != shard.digest:
        message = "the header isn't the one that was written (digest differs)"
        yield Difference(check="content", file=shard.name, tensor="", message=message)
    for name in wrong:
        message = "the bytes on disk aren't those that were written (digest differs)"
        yield Difference(check="content", file=shard.name, tensor=name, message=message)


def _completed(shard: ShardRecord, raw: bytes, digests: Mapping[str, str]) -> ShardRecord:
    """Return a shard's record with the digests that it lacks; those that it has stay."""
    whole = shard_digest(raw, map(bytes.fromhex, digests.values()))
    tensors = {name: shard.tensors.get(name) or digest for name, digest in digests.items()}
    return replace(shard, digest=whole.hex(), tensors=tensors)


def check_against_sources(
    manifest: Manifest,
    plan: Plan,
    readers: Sequence[RangeReader],
    *,
    threads: int,
    progress: ProgressSink,
) -> Iterator[Difference]:
    """Yield every tensor whose digest isn't what the recipe makes of the sources.

    The output's bytes are compared with the manifest by `read_content`; here the manifest
    is compared with a computation from the sources.
    """
    recorded = {name: digest for shard in manifest.shards for name, digest in shard.tensors.items()}
    files = {name: shard.name for shard in manifest.shards for name in shard.tensors}
    for shard in plan.shards:
        expected = planned_digests(shard, readers, threads=threads, advance=progress.advance)
        progress.advance(len(shard.header))
        progress.shard_done(shard.name)
        for name, digest in expected.items():
            if recorded.pop(name, None) not in {digest, ""}:  # the latter of a broken file, named already
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


def check_recorded_plan(manifest: Manifest, plan: Plan) -> Iterator[Difference]:
    """Yield what the manifest says otherwise than a plan made anew: sources, layers, small files.

    Shards aren't compared: how tensors are packed depends on shard size and layout. The model card
    isn't either: its wording belongs to the version that wrote it.
    """
    for recorded, found in zip_longest(manifest.sources, plan.sources):
        file = recorded or found
        if recorded != found and file is not None:
            yield _recorded(
                MANIFEST_NAME, f"the source file {file.model}: {file.path} isn't the recorded one"
            )
            return
    if (manifest.layers, manifest.parameters) != (plan.layers, plan.parameters):
        yield _recorded(MANIFEST_NAME, "records other layers than the recipe gives")
    expected = {copied.name: plan.sources[copied.source].pin for copied in plan.copies}
    config = (text for text in plan.texts if text.name == CONFIG_NAME)
    expected |= {text.name: sha256(text.text.encode()) for text in config}
    for name, pin in expected.items():
        if manifest.files.get(name) != pin:
            yield _recorded(name, "isn't what the recipe makes of the sources")


def check_planned_headers(store: SourceStore, plan: Plan) -> Iterator[Difference]:
    """Yield every tensor whose dtype or shape in a header isn't what the recipe gives."""
    planned = {
        name: (tensor.dtype, tensor.shape)
        for shard in plan.shards
        for name, tensor in shard_header(shard).tensors.items()
    }
    for name, entry in read_catalog(store, store.files()).tensors.items():
        if name in planned and planned[name] != (entry.dtype, entry.shape):
            dtype, shape = planned[name]
            yield Difference(
                check="sources",
                file=entry.file,
                tensor=name,
                message=f"is {entry.dtype.value} {list(entry.shape)}, "
                f"the recipe gives {dtype.value} {list(shape)}",
            )


def _recorded(file: str, message: str) -> Difference:
    return Difference(check="sources", file=file, tensor="", message=message)
