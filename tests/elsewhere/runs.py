"""Whole runs between places: planned, perhaps interrupted, resumed."""

import threading
from pathlib import Path

from distexpand.api import plan_expansion, run_plan
from distexpand.commit.committer import OutputMode
from distexpand.errors import InterruptedRunError
from distexpand.planning.model import Plan
from distexpand.report.watching.display import NoProgress
from distexpand.runner.place import Output
from distexpand.storage.address import parse_address

RECIPE = """
slices:
  - sources: [{{model: {base}, layer_range: [0, 3]}}]
  - sources: [{{model: {base}, layer_range: [1, 4]}}]
  - sources: [{{model: {other}, layer_range: [2, 4], parameters: {{scale: 0.5}}}}]
merge_method: passthrough
"""


def planned(base: str, other: str, places: dict[str, str] | None = None) -> Plan:
    """Plan an expansion of two models, called as the recipe is to call them."""
    recipe = RECIPE.format(base=base, other=other)
    return plan_expansion(recipe, origin="recipe.yml", places=places or {}, shard_size=5000).plan


def output_at(place: str) -> Output:
    """Return a place as the command line takes it."""
    return parse_address(place) or Path(place)


class StopsAfter(NoProgress):
    """Asks a run to end once so many shards have their final names."""

    def __init__(self, shards: int) -> None:
        self.stop_signal = threading.Event()
        self._left = shards

    def shard_done(self, name: str) -> None:  # noqa: ARG002  # as runs call it
        """Count."""
        self._left -= 1
        if self._left == 0:
            self.stop_signal.set()


def run_in_two(plan: Plan, output: Output, *, shards: int) -> None:
    """Run a plan, interrupted after so many shards, and go on."""
    watch = StopsAfter(shards)
    try:
        run_plan(plan, output, threads=2, progress=watch, stop=watch.stop_signal)
    except InterruptedRunError:
        run_plan(plan, output, threads=2, mode=OutputMode.RESUME)
