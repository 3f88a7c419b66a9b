"""Looking at a run on a cluster from the side: a driver as jobs have it, and how many attempts there are."""

import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from distexpand.cluster.events import AttemptDoubled, AttemptLost, RunEnded, ShardDone, decode_event
from distexpand.cluster.options import ClusterOptions
from distexpand.jobs.request import JOB_VARIABLE, REQUEST_VARIABLE, encode_request, make_request
from tests.support.ray_cluster import ROOT, RayCluster, wait_until

LONG = "{model: a, repeat: {layer_range: [0, 8], times: 3}}"
WIDE = {"hidden_size": 512, "intermediate_size": 1024, "vocab_size": 4000, "num_layers": 8}
"""A model of 50 MB, of which LONG makes 130."""


class Job:
    """A job's driver as a process of its own, and what it tells."""

    def __init__(
        self,
        cluster: RayCluster,
        model: Path,
        output: Path,
        log: Path,
        *,
        recipe: str = LONG,
        shard_size: int = 3_000_000,
        **options: Any,
    ) -> None:
        request = make_request(
            recipe,
            origin="recipe",
            places={"a": str(model)},
            shard_size=shard_size,
            output=str(output),
            options=ClusterOptions(**options),
        )
        variables = {REQUEST_VARIABLE: encode_request(request), JOB_VARIABLE: "job"}
        where = {"RAY_ADDRESS": cluster.address, "PYTHONPATH": str(ROOT)}
        self._log = log
        with log.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "distexpand.jobs.entry"],
                env={**cluster.driver_environment, **variables, **where},
                stdout=said,
                stderr=subprocess.STDOUT,
            )

    def events(self, kind: type[Any]) -> list[Any]:
        """Return what was told so far of one kind."""
        found = (decode_event(line) for line in self._log.read_text().splitlines())
        return [event for event in found if isinstance(event, kind)]

    @property
    def done(self) -> list[ShardDone]:
        return self.events(ShardDone)

    @property
    def lost(self) -> list[AttemptLost]:
        return self.events(AttemptLost)

    @property
    def doubled(self) -> list[AttemptDoubled]:
        return self.events(AttemptDoubled)

    def until_shards(self, count: int, *, seconds: float = 60) -> None:
        """Wait until so many shards have their final names."""
        wait_until(lambda: len(self.done) >= count, seconds=seconds, what=f"{count} shards")

    def ended(self, *, seconds: float = 90) -> RunEnded:
        """Wait for the end, and return what was told of it."""
        try:
            self.process.wait(seconds)
        finally:
            self.process.kill()
            self.process.wait()
        assert "Traceback" not in self._log.read_text(), self._log.read_text()
        [end] = self.events(RunEnded)
        assert self.process.returncode == end.exit_code
        return end

    def kill(self) -> None:
        """Kill the driver, and nothing that it started."""
        self.process.kill()
        self.process.wait()


class AttemptsSeen:
    """Counts, from `with` to its end, the most attempts at shards that an output held at once."""

    def __init__(self, output: Path) -> None:
        self.most = 0
        self._output = output
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.002):
            found = self._output.glob(".distexpand/run-*/attempts/*.safetensors.*")
            self.most = max(self.most, sum(1 for _ in found))
