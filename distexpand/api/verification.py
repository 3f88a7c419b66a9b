"""Check an output: by its manifest alone, or against the sources of its plan made once more."""

from collections.abc import Container, Mapping
from pathlib import Path

from distexpand.api.expansion import PlannedExpansion, plan_expansion
from distexpand.commit.manifest import MANIFEST_NAME, Manifest
from distexpand.commit.recording import record_manifest
from distexpand.engine.transforms import single_threaded_transforms
from distexpand.errors import CheckpointError, RecipeError, UsageError
from distexpand.planning.model import Plan
from distexpand.report.watching.display import NoProgress
from distexpand.runner.local import DEFAULT_THREADS
from distexpand.runner.place import Output, output_store
from distexpand.runner.progress import ProgressSink
from distexpand.runner.sources import open_sources
from distexpand.storage.address import HUB, Address
from distexpand.storage.archives.source import ArchiveSource
from distexpand.storage.ranges import SourceStore
from distexpand.verifying.content import (
    check_against_sources,
    check_planned_headers,
    check_recorded_plan,
    read_content,
)
from distexpand.verifying.report import Difference, VerifyReport, reason
from distexpand.verifying.structure import (
    check_structure,
    leftovers,
    read_manifest,
    unrecorded,
    unrecorded_note,
)


def verify_output(
    output: Output,
    *,
    sources: bool = False,
    record: bool = False,
    places: Mapping[str, str] | None = None,
    threads: int = DEFAULT_THREADS,
    progress: ProgressSink | None = None,
) -> VerifyReport:
    """Check an output: structure, content, and with `sources` every tensor against its sources.

    With `record`, and if nothing differs, the digests that the manifest lacks, because
    blocks were shared and not read, are written to it. `progress` is told of the bytes and
    shards of each of the two readings.

    Raises:
        OutputError: the directory has no manifest.
        DistexpandError: sources are needed and can't be read.
    """
    try:
        manifest = read_manifest(output)
    except CheckpointError as error:
        message = reason(error, str(output), MANIFEST_NAME)
        damage = Difference(check="structure", file=MANIFEST_NAME, tensor="", message=message)
        return VerifyReport(differences=(damage,), checks=("structure",), tensors=0, bytes_read=0, layers=0)
    plan = plan_again(manifest, places or {}).plan if sources else None
    store = output_store(output)
    if record:
        _require_recordable(output, store)
    differences = list(check_structure(store, manifest))
    broken = frozenset(difference.file for difference in differences)
    progress = progress or NoProgress()
    _start_reading(manifest, plan, broken, progress)
    try:
        found, content = read_content(store, manifest, skip=broken, threads=threads, progress=progress)
        differences += content
        if plan is not None:
            differences += check_recorded_plan(manifest, plan)
            if not differences:
                differences += check_planned_headers(store, plan)
            differences += _check_sources(found, plan, threads, progress)
    finally:
        progress.stop()
    if record and not differences and found != manifest:
        _record(output, manifest, found)
        manifest = found
    return VerifyReport(
        differences=tuple(differences),
        checks=("structure", "content", *(["sources"] if plan is not None else [])),
        tensors=sum(len(shard.tensors) for shard in manifest.shards),
        bytes_read=sum(shard.size for shard in manifest.shards),
        layers=len(manifest.layers),
        notes=(*leftovers(output), *unrecorded_note(unrecorded(manifest))),
        unrecorded=unrecorded(manifest),
    )


def _require_recordable(output: Output, store: SourceStore) -> None:
    """Refuse to add digests where that would damage what is there, or can't be needed."""
    if isinstance(store, ArchiveSource):
        raise UsageError(
            f"{output}: --record can't change an archive", hint="Unpack it, record there, and pack it again."
        )
    if isinstance(output, Address) and output.scheme == HUB:
        raise UsageError(
            f"{output}: --record has nothing to add: every tensor on the Hub was read when made",
            hint="Leave --record out.",
        )


def _record(output: Output, before: Manifest, after: Manifest) -> None:
    if isinstance(output, Path):
        record_manifest(output, before, after)
        return
    from distexpand.commit.objects.recording import record_object_manifest  # noqa: PLC0415  # for who needs it

    record_object_manifest(output, before, after)


def _start_reading(
    manifest: Manifest, plan: Plan | None, broken: Container[str], progress: ProgressSink
) -> None:
    sizes = [shard.size for shard in manifest.shards if shard.name not in broken]
    if plan is not None:
        sizes += [shard.size for shard in plan.shards]
    progress.start(total_bytes=sum(sizes), done_bytes=0, shards=len(sizes), shards_done=0)


def plan_again(manifest: Manifest, places: Mapping[str, str]) -> PlannedExpansion:
    """Plan what an output was made of once more.

    Raises:
        UsageError: the recipe doesn't fit its sources any more.
        DistexpandError: a source can't be read.
    """
    try:
        return plan_expansion(manifest.recipe, origin="the manifest's recipe", places=places)
    except RecipeError as error:
        raise UsageError(f"the sources don't fit the manifest: {error.message}", hint=error.hint) from None


def _check_sources(manifest: Manifest, plan: Plan, threads: int, progress: ProgressSink) -> list[Difference]:
    with open_sources(plan) as readers, single_threaded_transforms(plan):
        return list(check_against_sources(manifest, plan, readers, threads=threads, progress=progress))
