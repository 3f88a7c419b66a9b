"""Plan a recipe: from its text to a plan with what was noticed on the way, and to what it will take."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from distexpand.engine.sharing import groups_that_share
from distexpand.engine.space import peak_memory_bytes
from distexpand.engine.transforms import needs_torch
from distexpand.findings import Finding
from distexpand.intake.locate import default_model
from distexpand.intake.models import open_models
from distexpand.planning.adapters.tokenizer import lint_adapter_tokenizers
from distexpand.planning.build import build_plan
from distexpand.planning.check import check_plan
from distexpand.planning.codec.plans import plan_digest
from distexpand.planning.layout import Layout
from distexpand.planning.lint import lint_sources
from distexpand.planning.lint_filters import lint_filters
from distexpand.planning.model import Plan, TextFile
from distexpand.planning.pack import DEFAULT_SHARD_SIZE
from distexpand.planning.transfer import transfer
from distexpand.proof.check import prove
from distexpand.proof.request import LoadProof
from distexpand.recipe.canonical import Recipe
from distexpand.recipe.lint import lint_recipe
from distexpand.recipe.lower import lower
from distexpand.recipe.parse import parse_recipe
from distexpand.recipe.render import canonical_yaml
from distexpand.report.layer_map.layers import layer_map
from distexpand.report.layer_map.notebook import notebook_html
from distexpand.report.layer_map.svg import map_svg
from distexpand.report.model_card import PICTURE_NAME, expanded_title, model_card, plan_title
from distexpand.report.plan_report import PlanReport, report_text
from distexpand.report.sizes import bytes_text, count_text, plural
from distexpand.report.summary import PlanSummary, summarise
from distexpand.runner.local import DEFAULT_THREADS, MOST_TOGETHER_BYTES
from distexpand.runner.place import Output
from distexpand.runner.room import room_for
from distexpand.runner.sources import open_sources

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
