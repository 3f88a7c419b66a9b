"""Reports of published expansions over small models, as files that a browser opens."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from distexpand.api import PlannedExpansion, plan_expansion, summarise_plan
from distexpand.planning.codec.plans import plan_digest
from distexpand.report.layer_map.layers import LayerMap, layer_map
from distexpand.report.layer_map.page import PageContent, map_page
from distexpand.report.summary import PlanSummary
from tests.api.small import small_model

CONFIGS = Path(__file__).parents[2] / "configs"
TYPES = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"] * 4

TALL = yaml.safe_dump(
    {
        "slices": [{"sources": [{"model": "m", "layer_range": [at, at + 25]}]} for at in range(0, 101, 5)],
        "merge_method": "passthrough",
    }
)
MIXED = """
slices:
  - sources: [{model: m, layer_range: [0, 12]}]
  - sources: [{model: m, layer_range: [4, 16], parameters: {scale: [{filter: o_proj, value: 0.7071}]}}]
  - sources: [{model: "<b>&other", layer_range: [8, 16]}]
  - sources: [{model: third, layer_range: [9, 10]}]
merge_method: passthrough
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A page's file, and what it was made of."""

    file: Path
    planned: PlannedExpansion
    summary: PlanSummary
    shown: LayerMap


def reports(directory: Path) -> Mapping[str, Report]:
    """Return Goliath, a block expansion, a stack of 525 layers, and a mixture of everything."""
    goliath = (CONFIGS / "goliath-120b.yml").read_text()
    names = {source["model"] for part in yaml.safe_load(goliath)["slices"] for source in part["sources"]}
    models = {count: str(_model(directory / str(count), count)) for count in (32, 80, 126)}
    typed = str(_model(directory / "typed", 16, layer_types=TYPES))
    mixed = {"m": typed, "<b>&other": typed, "third": typed}
    pro = (CONFIGS / "llama-pro-8b.yml").read_text()
    return {
        "goliath": _report(directory, "goliath", goliath, dict.fromkeys(names, models[80])),
        "blocks": _report(directory, "blocks", pro, {yaml.safe_load(pro)["model"]: models[32]}),
        "tall": _report(directory, "tall", TALL, {"m": models[126]}),
        "mixed": _report(directory, "mixed", MIXED, mixed),
    }


def _model(directory: Path, count: int, **changes: object) -> Path:
    return small_model(directory, num_layers=count, fill="hole", **changes)


def _report(directory: Path, name: str, recipe: str, places: Mapping[str, str]) -> Report:
    planned = plan_expansion(recipe, origin=name, places=places, shard_size=200_000)
    summary, shown = summarise_plan(planned), layer_map(planned.plan, title=f"{name}, expanded")
    content = PageContent(
        shown=shown, summary=summary, recipe=planned.plan.recipe, digest=plan_digest(planned.plan)
    )
    file = directory / f"{name}.html"
    file.write_text(map_page(content))
    return Report(file=file, planned=planned, summary=summary, shown=shown)
