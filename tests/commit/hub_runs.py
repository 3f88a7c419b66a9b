"""Runs whose output goes to a Hub on loopback, as a whole or up to some shard."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from distexpand.commit.committer import OutputMode
from distexpand.commit.hub import quota as hub_quota
from distexpand.commit.hub.committer import HubCommitter
from distexpand.planning.model import Plan
from distexpand.report.watching.display import NoProgress
from distexpand.runner.local import run_local
from distexpand.runner.sources import open_sources, read_side_files, source_stamps
from distexpand.storage.address import Address
from distexpand.storage.hub import asking as hub_asking
from distexpand.storage.local.directories import LocalOutput
from tests.commit.hosts import attempted
from tests.support.hub_server import HubServer
from tests.support.hub_server.client import connected

NAME = "ann/big"
ADDRESS = Address(scheme="hf", root=NAME)
SENT = ("upload", "part")
"""Routes by which large files come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A repository of a Hub as a place for outputs, and where attempts are written."""

    server: HubServer
    scratch: Path

    def files(self, branch: str = "main") -> dict[str, bytes]:
        """Return what the repository holds beside what the Hub put there."""
        found = self.server.hub.tree(NAME, branch)
        return {name: raw for name, raw in found.items() if name != ".gitattributes"}

    @property
    def branches(self) -> list[str]:
        return sorted(self.server.hub.repositories[NAME].branches)

    @property
    def commits(self) -> int:
        return len(self.server.hub.repositories[NAME].history("main"))

    @property
    def sent_bytes(self) -> int:
        return sum(self.server.traffic.received[route] for route in SENT)

    @property
    def staged(self) -> list[str]:
        return sorted(path.name for path in self.scratch.rglob("*") if path.is_file())


@contextmanager
def output_on_hub(folder: Path, *, xet: bool = False) -> Iterator[Output]:
    """Have a Hub, be logged in to it, and never wait long."""
    (folder / "scratch").mkdir()
    with (
        HubServer(folder / "server", xet=xet) as server,
        pytest.MonkeyPatch.context() as patch,
        connected(server, folder / "home", token=server.hub.add_user("ann"), xet=xet),
    ):
        patch.setattr(hub_asking, "FIRST_WAIT_SECONDS", 0.01)
        patch.setattr(hub_quota, "PAUSE_SECONDS", 0.01)
        yield Output(server=server, scratch=folder / "scratch")


def open_output(output: Output, plan: Plan, mode: OutputMode, **more: object) -> HubCommitter:
    return HubCommitter(ADDRESS, plan, mode, scratch=output.scratch, **more)


def run_on_hub(output: Output, plan: Plan, mode: OutputMode = OutputMode.FRESH, **more: object) -> None:
    """Do what a whole run does."""
    with open_sources(plan) as readers, open_output(output, plan, mode, **more) as committer:
        if committer.finished:
            return
        committer.hold_sources(source_stamps(plan, readers))
        run_local(
            committer,
            readers,
            output=lambda _: LocalOutput(committer.attempts),
            threads=2,
            stop=threading.Event(),
            progress=NoProgress(),
        )
        committer.publish(read_side_files(committer.plan, readers))


@contextmanager
def begun_run(
    output: Output, plan: Plan, mode: OutputMode = OutputMode.FRESH, *, shards: int
) -> Iterator[HubCommitter]:
    """Commit so many shards, and hold the output for as long as the context lasts."""
    with open_output(output, plan, mode) as committer:
        hold_sources(committer)
        for shard in committer.plan.shards[:shards]:
            if shard.name not in committer.receipts:
                committer.commit(attempted(committer, shard))
        yield committer


def hold_sources(committer: HubCommitter) -> None:
    with open_sources(committer.plan) as readers:
        committer.hold_sources(source_stamps(committer.plan, readers))


def publish(committer: HubCommitter) -> None:
    with open_sources(committer.plan) as readers:
        committer.publish(read_side_files(committer.plan, readers))


def shard_bytes(plan: Plan) -> int:
    return sum(shard.size for shard in plan.shards)
