"""The composition of the stages: from a recipe to a plan, to an output, to a verdict.

What the command line does, as functions: nothing here prints, asks or exits.
"""

import threading
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from distexpand.architecture.stack import find_layer_stacks
from distexpand.commit.cleaning import Cleaned
from distexpand.commit.cleaning import clean_output as clean_directory
from distexpand.commit.committer import OutputMode
from distexpand.commit.manifest import MANIFEST_NAME, Manifest
from distexpand.commit.occupied import refuse_output_in_source
from distexpand.commit.recording import record_manifest
from distexpand.engine.sharing import groups_that_share
from distexpand.engine.space import peak_memory_bytes
from distexpand.engine.torch_library import require_torch
from distexpand.engine.transforms import needs_torch, single_threaded_transforms
from distexpand.errors import CheckpointError, RecipeError, UsageError
from distexpand.findings import Finding
from distexpand.intake.checkpoint import read_checkpoint
from distexpand.intake.locate import default_model, did_you_mean_path, locate
from distexpand.intake.models import open_models
from distexpand.pauses import pausing
from distexpand.planning.adapter_tokenizer import lint_adapter_tokenizers
from distexpand.planning.build import build_plan
from distexpand.planning.check import check_plan
from distexpand.planning.codec import plan_digest
from distexpand.planning.layout import Layout
from distexpand.planning.lint import lint_sources
from distexpand.planning.lint_filters import lint_filters
from distexpand.planning.model import Plan, TextFile
from distexpand.planning.pack import DEFAULT_SHARD_SIZE
from distexpand.planning.sources import source_model
from distexpand.planning.survey import survey
from distexpand.planning.transfer import transfer
from distexpand.proof.check import prove
from distexpand.proof.request import LoadProof
from distexpand.recipe.canonical import ModelRef, Recipe
from distexpand.recipe.lint import lint_recipe
from distexpand.recipe.lower import lower
from distexpand.recipe.parse import parse_recipe
from distexpand.recipe.render import canonical_yaml
from distexpand.report.inspection import Inspection
from distexpand.report.map_layers import layer_map
from distexpand.report.map_notebook import notebook_html
from distexpand.report.map_svg import map_svg
from distexpand.report.model_card import PICTURE_NAME, expanded_title, model_card, plan_title
from distexpand.report.plan_report import PlanReport, report_text
from distexpand.report.progress import NoProgress
from distexpand.report.sizes import bytes_text, count_text, plural
from distexpand.report.summary import PlanSummary, summarise
from distexpand.runner.local import DEFAULT_THREADS, MOST_TOGETHER_BYTES, run_local
from distexpand.runner.outputs import open_output
from distexpand.runner.place import Output, output_store
from distexpand.runner.progress import ProgressSink
from distexpand.runner.room import check_room, check_room_left, room_for
from distexpand.runner.sources import check_sources, open_sources, read_side_files, source_stamps
from distexpand.storage.address import HUB, Address
from distexpand.storage.archive_source import ArchiveSource
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

if TYPE_CHECKING:
    from distexpand.cluster.events import EventSink
    from distexpand.cluster.options import ClusterOptions

CARD_NAME = "README.md"
NEEDS_TORCH = "needs-torch"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PlannedExpansion:
    """A plan with what was noticed on the way.

    `layers_before` is the base model's layer count, `remapped_keys` the config's
    per-layer lists that were remapped. Printed, it is the report of `distexpand plan`; its
    `repr` is one line, where a dataclass's would list every operation.
    """

    plan: Plan
    findings: tuple[Finding, ...]
    layers_before: int
    remapped_keys: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The plan's digest, which the manifest of its output names: the same wherever the sources lie."""
        return plan_digest(self.plan)

    def summary(self, *, output: Output | None = None, threads: int = DEFAULT_THREADS) -> PlanSummary:
        """Return the plan's figures, with disk and memory on this machine; looks at the sources' places.

        Raises:
            StorageError: a source can't be reached any more.
        """
        return summarise_plan(self, output=output, threads=threads)

    def __repr__(self) -> str:
        plan = self.plan
        return (
            f"<PlannedExpansion: {self.layers_before} to {plural(len(plan.layers), 'layer')}, "
            f"{count_text(plan.parameters)} parameters, "
            f"{bytes_text(sum(shard.size for shard in plan.shards))} in {plural(len(plan.shards), 'shard')}>"
        )

    def __str__(self) -> str:
        return report_text(PlanReport(summary=self.summary(), plan=self.plan))

    def _repr_html_(self) -> str:
        """Return the layer map, which a notebook shows in the plan's place."""
        shown = layer_map(self.plan, title=plan_title(self.plan))
        return notebook_html(shown, findings=self.findings)


def plan_expansion(
    recipe_text: str,
    *,
    origin: str,
    places: Mapping[str, str] | None = None,
    shard_size: int = DEFAULT_SHARD_SIZE,
    layout: Layout = Layout.LAYERS,
) -> PlannedExpansion:
    """Plan a recipe from headers and configs alone.

    Args:
        recipe_text: the recipe in any dialect.
        origin: the recipe's file name, for messages.
        places: path by model name; the empty name gives the model of a recipe that names none.
        shard_size: bytes of tensor data per shard.
        layout: which tensors share a shard.

    Raises:
        DistexpandError: recipe, sources or config don't allow it.
    """
    default, places = default_model(places or {})
    draft = parse_recipe(recipe_text, origin=origin, default_model=default)
    opened = open_models(draft, places)
    recipe = lower(opened.draft, opened.layer_counts, opened.module_layer_counts)
    built = build_plan(
        recipe,
        canonical_yaml(recipe),
        opened.models,
        opened.carried_files(recipe),
        opened.locations,
        shard_size=shard_size,
        layout=layout,
        modules=opened.modules,
        adapters=opened.adapters,
    )
    findings = (
        *lint_recipe(recipe, opened.layer_counts),
        *lint_sources(
            recipe, opened.models, [file for files in opened.side_files.values() for file in files]
        ),
        *lint_filters(recipe, opened.models),
        *lint_adapter_tokenizers(recipe, opened.side_files),
        *built.findings,
    )
    plan = replace(built.plan, texts=(*built.plan.texts, *_card_files(built.plan, recipe)))
    check_plan(plan)
    return planned_from(
        plan,
        findings=findings,
        layers_before=opened.models[recipe.base_model].stack.num_layers,
        remapped_keys=built.remapped_keys,
    )


def _card_files(plan: Plan, recipe: Recipe) -> tuple[TextFile, ...]:
    """Return the model card and the picture that it shows."""
    adapters = {str(adapter) for adapter in recipe.adapters()}
    read = dict.fromkeys(source.model for source in plan.sources)
    models = tuple(sorted(read, key=lambda model: model in adapters))
    title = expanded_title(models[0], len(plan.layers))
    card = model_card(
        title=title,
        recipe=plan.recipe,
        layers=plan.layers,
        layer_prefix=plan.layer_prefix,
        parameters=plan.parameters,
        source_parameters=plan.source_parameters,
        base_models=tuple(Path(name).name if Path(name).is_absolute() else name for name in models),
        license_name=None,
    )
    picture = map_svg(layer_map(plan, title=title))
    return TextFile(name=CARD_NAME, text=card), TextFile(name=PICTURE_NAME, text=picture)


def planned_from(
    plan: Plan, *, findings: tuple[Finding, ...], layers_before: int, remapped_keys: tuple[str, ...]
) -> PlannedExpansion:
    """Return a plan with what was noticed while it was made, and with what this machine lacks for it."""
    kept = tuple(finding for finding in findings if finding.code != NEEDS_TORCH)
    return PlannedExpansion(
        plan=plan,
        findings=(*kept, *_lacking(plan)),
        layers_before=layers_before,
        remapped_keys=remapped_keys,
    )


def _lacking(plan: Plan) -> tuple[Finding, ...]:
    """Look for torch without importing it."""
    if not needs_torch(plan) or find_spec("torch"):
        return ()
    return (
        Finding(
            code=NEEDS_TORCH,
            message="the recipe scales, casts or blends tensors, which needs torch; it isn't installed here",
            advice="Install it with: pip install 'distexpand[torch]'",
        ),
    )


def check_load(plan: Plan, *, trust_remote_code: bool = False) -> LoadProof:
    """Prove from headers and configs that a plan's output loads in transformers, and as what.

    Takes seconds, in a process of its own. Layers of other kinds than their source layers
    are found too, whatever key of the config says so.

    Args:
        plan: from `plan_expansion` or read from a file.
        trust_remote_code: whether code that came with the model may run.

    Returns:
        What loaded it, or why there was no proof.

    Raises:
        LoadCheckError: the output wouldn't load as the source does, or a layer would run as another kind.
        DistexpandError: a source is gone, or there is no room for a skeleton.
    """
    return prove(plan, trust_remote_code=trust_remote_code)


def summarise_plan(
    planned: PlannedExpansion,
    *,
    output: Output | None = None,
    threads: int = DEFAULT_THREADS,
    clone: bool = True,
) -> PlanSummary:
    """Return a plan's figures, with disk and memory on this machine."""
    plan = planned.plan
    together = MOST_TOGETHER_BYTES if output is None or isinstance(output, Path) else 0
    with open_sources(plan) as readers:
        room = room_for(plan, readers, output, clone=clone)
    return summarise(
        plan,
        layers_before=planned.layers_before,
        transfer=transfer(plan, partial(groups_that_share, most_bytes=together)),
        disk_needed=room.needed,
        disk_free=room.free,
        expected_peak_memory=peak_memory_bytes(plan, threads=threads),
        moves=room.moves,
        findings=planned.findings,
    )


def run_plan(
    plan: Plan,
    output: Output,
    *,
    mode: OutputMode = OutputMode.FRESH,
    threads: int = DEFAULT_THREADS,
    stop: threading.Event | None = None,
    progress: ProgressSink | None = None,
    clone: bool = True,
    tell: Callable[[str], None] = lambda _: None,
) -> bool:
    """Execute a plan here and finish the output.

    Args:
        plan: from `plan_expansion` or read from a file.
        output: the directory to write; see `mode` for what may be in it.
        mode: fresh, resume, or overwrite.
        threads: blocks that are worked on at once.
        stop: set it to end between two blocks; the run can then be resumed.
        progress: told of bytes and shards as they are done.
        clone: whether the output may share blocks with its sources, where the file system can.
        tell: takes in words how the bytes move.

    Returns:
        Whether there was anything to do; not if the output was finished.

    Raises:
        DistexpandError: what went wrong; finished shards stay for a resume.
    """
    refuse_output_in_source(output, plan)
    check_plan(plan)
    if needs_torch(plan):
        require_torch()
    stop, progress = stop or threading.Event(), progress or NoProgress()
    with pausing(stop=stop, told=progress.retried), open_sources(plan) as readers:
        check_sources(plan, readers)
        with open_output(plan, output, readers, mode=mode, clone=clone, tell=tell) as opened:
            if opened.outlet.finished:
                return False
            opened.outlet.hold_sources(source_stamps(plan, readers))
            opened.check_room()
            run_local(
                opened.outlet,
                readers,
                output=opened.store,
                together=opened.together,
                threads=threads,
                stop=stop,
                progress=progress,
            )
            opened.outlet.publish(read_side_files(plan, readers))
            return True


def run_plan_on_cluster(
    plan: Plan,
    output: Path,
    *,
    options: "ClusterOptions",
    mode: OutputMode = OutputMode.FRESH,
    stop: threading.Event | None = None,
    events: "EventSink",
) -> bool:
    """Execute a plan on the Ray cluster that this process is a driver of, and finish the output.

    The bytes are those of `run_plan`. Every node is checked before the output is begun.

    Args:
        plan: from `plan_expansion` or read from a file.
        output: the directory to write, the same one for every node; see `mode` for what may be in it.
        options: limits of the run.
        mode: fresh, resume, or overwrite.
        stop: set it to end; the run can then be resumed.
        events: told what happens, beside the end.

    Returns:
        Whether there was anything to do; not if the output was finished.

    Raises:
        DistexpandError: what went wrong; finished shards stay for a resume.
    """
    from distexpand.cluster.run import run_on_cluster  # noqa: PLC0415  # brings Ray

    refuse_output_in_source(output, plan)
    check_plan(plan)
    with open_sources(plan) as readers:
        check_sources(plan, readers)
        check_room(plan, readers, output, mode)
        return run_on_cluster(
            plan,
            output,
            readers,
            mode=mode,
            options=options,
            stop=stop or threading.Event(),
            events=events,
            check_room=check_room_left,
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
    from distexpand.commit.object_recording import record_object_manifest  # noqa: PLC0415  # for who needs it

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


def clean_output(output: Output) -> Cleaned:
    """Remove what runs left beside an output that nobody will commit; what a resume needs stays.

    Raises:
        UsageError: there is no output of ours.
        OutputError: a run is at work on it.
        StorageError: something can't be removed.
    """
    if isinstance(output, Path):
        return clean_directory(output)
    if output.scheme == HUB:
        from distexpand.commit.hub_committer import clean_hub_output  # noqa: PLC0415  # for who needs it

        branches = clean_hub_output(output)
        finished = MANIFEST_NAME in output_store(output).files()
        return Cleaned(files=len(branches), bytes=0, finished=finished)
    from distexpand.commit.object_cleaning import clean_object_output  # noqa: PLC0415  # for who needs it

    return clean_object_output(output)


def inspect_model(path: str, *, stack: str = "") -> Inspection:
    """Read a model's headers and config and say what it is made of.

    Args:
        path: the model's directory.
        stack: the stack to look at, by its prefix or a part of it; empty for the language
            model's or decoder's.

    Raises:
        DistexpandError: it can't be read or its layers can't be found.
    """
    ref = ModelRef(name=path)
    try:
        store = locate(ref, {})
    except UsageError:
        raise UsageError(
            f"{path}: no such directory",
            hint=did_you_mean_path(Path(path)) or "Give the directory that a model was downloaded to.",
        ) from None
    checkpoint = read_checkpoint(ref, store)
    model = source_model(ref, checkpoint.config, checkpoint.catalog, stack=stack)
    found = survey(model)
    dtypes: dict[str, int] = {}
    for entry in checkpoint.catalog.tensors.values():
        dtypes[entry.dtype.value] = dtypes.get(entry.dtype.value, 0) + entry.length
    return Inspection(
        model=path,
        stack=model.stack,
        stacks=find_layer_stacks(checkpoint.catalog.tensors, model.config, origin=path),
        tensors=len(checkpoint.catalog.tensors),
        parameters=sum(entry.parameters for entry in checkpoint.catalog.tensors.values()),
        bytes=sum(file.size for file in checkpoint.catalog.files.values()),
        dtypes=dtypes,
        files=len(checkpoint.catalog.files),
        per_layer_keys=found.lists,
        outside=(*model.before, *model.after),
        kinds=found.kinds,
        attributes=found.attributes,
        notes=found.notes,
    )
