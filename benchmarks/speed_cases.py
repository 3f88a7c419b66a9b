"""The expansions that `local_speed` times, in mergekit's YAML so that both tools run one file."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.recipes import ZERO_RESIDUAL, NamedRecipe, part, passthrough
from distexpand.api import plan_expansion
from distexpand.planning.model import Plan

SOURCE = "./models/source"
"""The source's name in recipes, and its place in the directory that the tools are started in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An expansion: its recipe, the source's layers, the identity blocks among the new ones, the plan."""

    recipe: NamedRecipe
    source_layers: int
    blocks: int
    plan: Plan

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return self.recipe.name

    @property
    def output_bytes(self) -> int:
        """Bytes of the output's weights."""
        return sum(shard.size for shard in self.plan.shards)


def expansion(layers: int) -> NamedRecipe:
    """Return a recipe with a quarter more layers, zeroed copies of the last one: 32 become 40."""
    last = part(layers - 1, layers, model=SOURCE, scale=ZERO_RESIDUAL)
    document = passthrough(part(0, layers, model=SOURCE), *[last] * new_blocks(layers))
    return NamedRecipe(name="expansion", document=document, identity=True)


def layer_map(layers: int) -> NamedRecipe:
    """Return a recipe of three overlapping halves: 32 become 48 by [[0,16],[8,24],[16,32]]."""
    half, quarter = layers // 2, layers // 4
    spans = ((0, half), (quarter, quarter + half), (layers - half, layers))
    parts = [part(begin, end, model=SOURCE) for begin, end in spans]
    return NamedRecipe(name="map", document=passthrough(*parts))


CASES: dict[str, Callable[[int], NamedRecipe]] = {"expansion": expansion, "map": layer_map}


def new_blocks(layers: int) -> int:
    """Return at most a quarter of the layers, and a divisor of them, as LLaMA-Factory's script wants."""
    return max(count for count in range(1, max(layers // 4, 1) + 1) if layers % count == 0)


def case_of(name: str, source: Path) -> Case:
    """Plan a case for a source on disk."""
    layers = int(json.loads((source / "config.json").read_text())["num_hidden_layers"])
    recipe = CASES[name](layers)
    planned = plan_expansion(recipe.yaml(), origin=f"{name}.yml", places={SOURCE: str(source)})
    blocks = new_blocks(layers) if recipe.identity else 0
    return Case(recipe=recipe, source_layers=layers, blocks=blocks, plan=planned.plan)
