"""The composition of the stages: from a recipe to a plan, to an output, to a verdict.

What the command line does, as functions: nothing here prints, asks or exits.
"""

import shutil
import threading
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from distexpand.architecture.config_remap import per_layer_keys
from distexpand.architecture.stack import LayerStack
from distexpand.commit.committer import Committer, OutputMode
from distexpand.commit.manifest import MANIFEST_NAME, Manifest
from distexpand.commit.occupied import refuse_output_in_source, require_vacant
from distexpand.engine.space import disk_bytes, peak_memory_bytes
from distexpand.errors import CheckpointError, RecipeError, StorageError, UsageError
from distexpand.findings import Finding
from distexpand.intake.checkpoint import read_checkpoint
from distexpand.intake.locate import default_model, locate
from distexpand.intake.models import open_models
from distexpand.plan.build import build_plan
from distexpand.plan.check import check_plan
from distexpand.plan.lint import lint_sources
from distexpand.plan.model import Plan, TextFile
from distexpand.plan.pack import DEFAULT_SHARD_SIZE
from distexpand.plan.sources import source_model
from distexpand.recipe.canonical import ModelRef
from distexpand.recipe.lint import lint_recipe
from distexpand.recipe.lower import lower
from distexpand.recipe.parse import parse_recipe
from distexpand.recipe.render import canonical_yaml
from distexpand.report.model_card import model_card
from distexpand.report.progress import NoProgress
from distexpand.report.summary import PlanSummary, summarise
from distexpand.runner.local import (
    DEFAULT_THREADS,
    check_sources,
    open_sources,
    read_side_files,
    run_local,
)
from distexpand.runner.progress import ProgressSink
from distexpand.verify.content import (
    check_against_sources,
    check_content,
    check_planned_headers,
    check_recorded_plan,
)
from distexpand.verify.report import Difference, VerifyReport
from distexpand.verify.structure import check_structure, read_manifest

CARD_NAME = "README.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedExpansion:
    """A plan with what was noticed on the way.

    `layers_before` is the base model's layer count, `remapped_keys` the config's
    per-layer lists that were remapped.
    """

    plan: Plan
    findings: tuple[Finding, ...]
    layers_before: int
    remapped_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What headers and config say of one model."""

    model: str
    stack: LayerStack
    tensors: int
    parameters: int
    bytes: int
    dtypes: Mapping[str, int]
    files: int
    per_layer_keys: tuple[str, ...]
    outside: tuple[str, ...]


def plan_expansion(
    recipe_text: str,
    *,
    origin: str,
    places: Mapping[str, str] | None = None,
    shard_size: int = DEFAULT_SHARD_SIZE,
) -> PlannedExpansion:
    """Plan a recipe from headers and configs alone.

    Args:
        recipe_text: the recipe in any dialect.
        origin: the recipe's file name, for messages.
        places: path by model name; the empty name gives the model of a recipe that names none.
        shard_size: bytes of tensor data per shard.

    Raises:
        DistexpandError: recipe, sources or config don't allow it.
    """
    default, places = default_model(places or {})
    draft = parse_recipe(recipe_text, origin=origin, default_model=default)
    opened = open_models(draft, places)
    recipe = lower(draft, opened.layer_counts)
    built = build_plan(
        recipe,
        canonical_yaml(recipe),
        opened.models,
        opened.carried_files(recipe),
        opened.locations,
        shard_size=shard_size,
    )
    findings = (
        *lint_recipe(recipe, opened.layer_counts),
        *lint_sources(
            recipe, opened.models, [file for files in opened.side_files.values() for file in files]
        ),
        *built.findings,
    )
    card = TextFile(name=CARD_NAME, text=_card(built.plan))
    plan = replace(built.plan, texts=(*built.plan.texts, card))
    check_plan(plan)
    return PlannedExpansion(
        plan=plan,
        findings=findings,
        layers_before=opened.models[recipe.base_model].stack.num_layers,
        remapped_keys=built.remapped_keys,
    )


def _card(plan: Plan) -> str:
    models = tuple(dict.fromkeys(source.model for source in plan.sources))
    shown = tuple(Path(name).name if Path(name).is_absolute() else name for name in models)
    return model_card(
        title=f"{Path(models[0]).name} expanded to {len(plan.layers)} layers",
        recipe=plan.recipe,
        layers=plan.layers,
        layer_prefix=plan.layer_prefix,
        parameters=plan.parameters,
        source_parameters=plan.source_parameters,
        base_models=shown,
        license_name=None,
    )


def planned_from(plan: Plan) -> PlannedExpansion:
    """Return a plan that was read from a file as one that has just been made; its findings are gone."""
    base = [origin.layer for origin in plan.layers]
    return PlannedExpansion(plan=plan, findings=(), layers_before=max(base, default=-1) + 1, remapped_keys=())


def summarise_plan(
    planned: PlannedExpansion, *, output: Path | None = None, threads: int = DEFAULT_THREADS
) -> PlanSummary:
    """Return a plan's figures, with disk and memory on this machine."""
    plan = planned.plan
    with open_sources(plan, plan.shards) as readers:
        needed = disk_bytes(plan.shards, readers)
    return summarise(
        plan,
        layers_before=planned.layers_before,
        disk_needed=needed,
        disk_free=free_disk(output or Path()),
        expected_peak_memory=peak_memory_bytes(plan, threads=threads),
        findings=planned.findings,
    )


def free_disk(output: Path) -> int | None:
    """Return the free bytes where an output would be written, or nothing if that isn't known."""
    place = output.absolute()
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
        return shutil.disk_usage(place).free
    except OSError:
        return None


def run_plan(
    plan: Plan,
    output: Path,
    *,
    mode: OutputMode = OutputMode.FRESH,
    threads: int = DEFAULT_THREADS,
    stop: threading.Event | None = None,
    progress: ProgressSink | None = None,
) -> None:
    """Execute a plan here and finish the output.

    Args:
        plan: from `plan_expansion` or read from a file.
        output: the directory to write; see `mode` for what may be in it.
        mode: fresh, resume, or overwrite.
        threads: blocks that are worked on at once.
        stop: set it to end between two blocks; the run can then be resumed.
        progress: told of bytes and shards as they are done.

    Raises:
        DistexpandError: what went wrong; finished shards stay for a resume.
    """
    refuse_output_in_source(output, plan)
    check_plan(plan)
    check_sources(plan)
    side_files = read_side_files(plan)
    if mode is OutputMode.FRESH:
        # Before the directory is made; a resumed or replaced output frees space first.
        require_vacant(output)
        _require_space(plan, output, done=())
    with Committer(output, plan, mode) as committer:
        if committer.finished:
            return
        _require_space(plan, output, done=committer.receipts)
        run_local(
            plan,
            output,
            committer,
            threads=threads,
            stop=stop or threading.Event(),
            progress=progress or NoProgress(),
        )
        committer.publish(side_files)


def _require_space(plan: Plan, output: Path, *, done: Container[str]) -> None:
    waiting = [shard for shard in plan.shards if shard.name not in done]
    with open_sources(plan, waiting) as readers:
        needed = disk_bytes(waiting, readers)
    free = free_disk(output)
    if free is not None and needed > free:
        raise StorageError(
            f"{output}: needs {needed:,} bytes of disk, {free:,} are free",
            hint="Free some space or choose another disk, then call again with --resume.",
        )


def verify_output(
    output: Path,
    *,
    sources: bool = False,
    places: Mapping[str, str] | None = None,
    threads: int = DEFAULT_THREADS,
    advance: Callable[[int], None] = lambda _: None,
) -> VerifyReport:
    """Check an output: structure, content, and with `sources` every tensor against its sources.

    Raises:
        OutputError: the directory has no manifest.
        DistexpandError: sources are needed and can't be read.
    """
    try:
        manifest = read_manifest(output)
    except CheckpointError as error:
        damage = Difference(check="structure", file=MANIFEST_NAME, tensor="", message=error.message)
        return VerifyReport(differences=(damage,), checks=("structure",), tensors=0, bytes_read=0, layers=0)
    plan = _plan_again(manifest, places or {}) if sources else None
    differences = list(check_structure(output, manifest))
    broken = frozenset(difference.file for difference in differences)
    differences += check_content(output, manifest, skip=broken, threads=threads, advance=advance)
    checks = ["structure", "content"]
    if plan is not None:
        checks.append("sources")
        differences += check_recorded_plan(manifest, plan)
        if not differences:
            differences += check_planned_headers(output, plan)
        differences += _check_sources(manifest, plan, threads, advance)
    return VerifyReport(
        differences=tuple(differences),
        checks=tuple(checks),
        tensors=sum(len(shard.tensors) for shard in manifest.shards),
        bytes_read=sum(shard.size for shard in manifest.shards),
        layers=len(manifest.layers),
    )


def _plan_again(manifest: Manifest, places: Mapping[str, str]) -> Plan:
    try:
        planned = plan_expansion(manifest.recipe, origin="the manifest's recipe", places=places)
    except RecipeError as error:
        raise UsageError(f"the sources don't fit the manifest: {error.message}", hint=error.hint) from None
    return planned.plan


def _check_sources(
    manifest: Manifest, plan: Plan, threads: int, advance: Callable[[int], None]
) -> list[Difference]:
    with open_sources(plan, plan.shards) as readers:
        return list(check_against_sources(manifest, plan, readers, threads=threads, advance=advance))


def inspect_model(path: str) -> Inspection:
    """Read a model's headers and config and say what it is made of.

    Raises:
        DistexpandError: it can't be read or its layers can't be found.
    """
    ref = ModelRef(name=path)
    checkpoint = read_checkpoint(ref, locate(ref, {}))
    model = source_model(ref, checkpoint.config, checkpoint.catalog)
    dtypes: dict[str, int] = {}
    for entry in checkpoint.catalog.tensors.values():
        dtypes[entry.dtype.value] = dtypes.get(entry.dtype.value, 0) + entry.length
    return Inspection(
        model=path,
        stack=model.stack,
        tensors=len(checkpoint.catalog.tensors),
        parameters=sum(entry.parameters for entry in checkpoint.catalog.tensors.values()),
        bytes=sum(file.size for file in checkpoint.catalog.files.values()),
        dtypes=dtypes,
        files=len(checkpoint.catalog.files),
        per_layer_keys=per_layer_keys(model.stack_config, model.stack),
        outside=(*model.before, *model.after),
    )
