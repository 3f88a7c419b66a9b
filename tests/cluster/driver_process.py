"""A driver as a process of its own, which tests send one run after the other.

Ray reads its time limits from the environment when it is first imported, and
some things can only be seen from outside a driver: that it ends when it is
killed. Run as a program, this file reads orders from standard input, one JSON
object a line, and answers each with the run's events and its end.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distexpand.api import plan_expansion, run_plan_on_cluster
from distexpand.cluster import demand, preflight, run
from distexpand.cluster.connect import connected
from distexpand.cluster.events import Event, RunEnded, decode_event, encode_event
from distexpand.cluster.nodes import Node
from distexpand.cluster.options import ClusterOptions
from distexpand.cluster.verdict import Expected
from distexpand.commit.committer import OutputMode
from distexpand.errors import DistexpandError


@dataclass(kw_only=True)
class Driver:
    """A connected driver; made by `started_driver`."""

    process: subprocess.Popen[str]

    def begin(self, model: Path, output: Path, **order: Any) -> None:
        """Send an order; see `_run` for what may be in it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"model": str(model), "output": str(output), **order}) + "\n")
        self.process.stdin.flush()

    def events(self) -> Iterator[Event]:
        """Yield the events of the run that was begun, as they come; the last one is its end."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = decode_event(line)
            if event is not None:
                yield event
            if isinstance(event, RunEnded):
                return
        raise AssertionError(f"the driver has ended: exit code {self.process.wait(10)}")

    def run(self, model: Path, output: Path, **order: Any) -> RunEnded:
        """Run to the end and return it."""
        self.begin(model, output, **order)
        *_, end = self.events()
        assert isinstance(end, RunEnded)
        return end


@contextmanager
def started_driver(
    address: str, environment: Mapping[str, str], *, ship: bool = False, python: Sequence[str] = ()
) -> Iterator[Driver]:
    """Start a driver of the cluster at `address`; it ends with the block."""
    command = [*(python or [sys.executable]), __file__, address, "ship" if ship else ""]
    # Ray lets workers import from the driver's directory first, which would hide what a node has.
    with subprocess.Popen(
        command, env=environment, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Driver(process=process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(30)
            finally:
                process.kill()


def main(address: str, ship: str) -> None:
    """Answer orders until there are no more."""
    with connected(address, ship=bool(ship)):
        for line in sys.stdin:
            began = time.monotonic()
            try:
                made = _run(**json.loads(line))
                end = _end(0, None, began, made=made)
            except DistexpandError as error:
                end = _end(error.exit_code, error, began, made=True)
            _tell(end)


def _run(
    *,
    model: str,
    output: str,
    recipe: str = "{model: a, layer_map: [[0, 3], [1, 4]]}",
    shard_size: int = 5000,
    mode: str = "fresh",
    only: Sequence[str] = (),
    answer_seconds: float = 60.0,
    short_of: int = 0,
    **options: Any,
) -> bool:
    """Run a plan on the nodes of the names in `only`, or on all.

    `answer_seconds` is preflight's patience; nodes are asked for `short_of` bytes of disk
    instead of what the output needs.
    """
    run.check_nodes = _asking_for(short_of)
    preflight.ANSWER_SECONDS = answer_seconds
    run.usable_nodes = demand.usable_nodes = _nodes_named(only)
    plan = plan_expansion(recipe, origin="recipe.yml", places={"a": model}, shard_size=shard_size).plan
    return run_plan_on_cluster(
        plan,
        Path(output),
        mode=OutputMode[mode.upper()],
        options=ClusterOptions(**options),
        events=_tell,
    )


_all_nodes = run.usable_nodes
_check = run.check_nodes


def _asking_for(needed: int) -> Callable[[Mapping[str, Node], Expected], dict[str, DistexpandError]]:
    return lambda nodes, wanted: _check(nodes, replace(wanted, needed=needed) if needed else wanted)


def _nodes_named(names: Sequence[str]) -> Callable[[ClusterOptions], dict[str, Node]]:
    def nodes(options: ClusterOptions) -> dict[str, Node]:
        found = _all_nodes(options)
        return {key: node for key, node in found.items() if not names or node.name in names}

    return nodes


def _end(code: int, error: DistexpandError | None, began: float, *, made: bool) -> RunEnded:
    return RunEnded(
        exit_code=code,
        kind=type(error).__name__ if error else "",
        message=error.message if error else "",
        hint=error.hint if error else "",
        seconds=round(time.monotonic() - began, 2),
        made=made,
    )


def _tell(event: Event) -> None:
    sys.stdout.write(encode_event(event, run="test") + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
