"""Whole runs while things go wrong between them and the servers: all end right, or say why they don't.

A run has two proxies, before what it reads and before what it writes. Chance decides from where to
where it goes, how bad the network is, and whether a source is replaced meanwhile. What was ended by
an error is then gone on with over a good network.
"""

import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from distexpand.api import run_plan
from distexpand.commit.committer import OutputMode
from distexpand.commit.hub import quota as hub_quota
from distexpand.commit.objects import committer as object_committer
from distexpand.commit.objects.lease import Pace
from distexpand.errors import DistexpandError
from distexpand.report.watching.display import NoProgress
from distexpand.storage.hub import asking as hub_asking
from tests.api.small import small_model, tree
from tests.elsewhere.places import Buckets, Directories, Places, Repositories, Sources, WebFolders
from tests.elsewhere.runs import output_at, planned
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.faults import OF_READS, OF_WRITES, FaultPlan, RandomFaults, no_faults
from tests.support.hub_server import HubServer
from tests.support.hub_server.client import connected
from tests.support.range_server import range_server
from tests.support.seaweedfs import SeaweedFS
from tests.support.store_environment import set_store_environment

READ = ("web", "s3", "hf")
WRITTEN = ("disk", "s3", "hf")
RATES = (0.02, 0.08, 0.25)
TIMEOUT_SECONDS = 1.0
LONGEST_SECONDS = 240.0
"""More than any run should take in which every request is given up after its time."""

_REPLACED_PART = 0.2
_LAST_SHARD_TO_REPLACE_AT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What chance has decided for a run; `replace_after` shards a source gets other weights, if at all."""

    seed: int
    read: str
    written: str
    rate: float
    replace_after: int | None


@dataclass(slots=True, kw_only=True)
class Told:
    """How a run ended: `error` is the message of a run that was ended, `wrong` what must not be."""

    case: Case
    error: str = ""
    wrong: str = ""
    faults: int = 0
    seconds: float = 0.0


def case_of(seed: int) -> Case:
    """Return the case of a seed."""
    random = Random(seed)
    replaced = random.random() < _REPLACED_PART
    return Case(
        seed=seed,
        read=random.choice(READ),
        written=random.choice(WRITTEN),
        rate=random.choice(RATES),
        replace_after=random.randrange(_LAST_SHARD_TO_REPLACE_AT) if replaced else None,
    )


@dataclass(slots=True, kw_only=True)
class World:
    """The servers of many runs, the proxies before them, and models in two states."""

    folder: Path
    seaweedfs: SeaweedFS
    bucket: str
    hub: HubServer
    proxies: Mapping[str, FaultProxy]
    web: WebFolders
    models: tuple[Path, Path]
    changed: Path
    expected: dict[tuple[str, ...], list[dict[str, bytes]]] = field(default_factory=dict)

    def places(self, kind: str) -> Any:
        """Return the places of a kind."""
        match kind:
            case "disk":
                return Directories(root=self.folder / "disk")
            case "s3":
                return Buckets(scheme="s3", server=self.seaweedfs, root=self.bucket)
            case "hf":
                return Repositories(server=self.hub)
        return self.web

    def set_plan(self, plan: FaultPlan) -> None:
        """Let these things go wrong from now on."""
        for proxy in self.proxies.values():
            proxy.plan = plan


@contextmanager
def world(folder: Path, seaweedfs: SeaweedFS) -> Iterator[World]:
    """Start the servers, and have this process find them through proxies."""
    for name in ("changed", "expected"):
        (folder / name).mkdir(parents=True)
    with ExitStack() as stack:
        web = stack.enter_context(range_server())
        hub = stack.enter_context(HubServer(folder / "hub"))
        proxies = {
            "web": stack.enter_context(fault_proxy(web.endpoint)),
            "s3": stack.enter_context(fault_proxy(seaweedfs.endpoint)),
            "hub": stack.enter_context(fault_proxy(hub.endpoint)),
            "links": stack.enter_context(fault_proxy(hub.hub.storage_endpoint)),
        }
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        set_store_environment(patch, seaweedfs.environment(proxies["s3"].endpoint))
        patch.setenv("DISTEXPAND_TIMEOUT", str(TIMEOUT_SECONDS))
        patch.setattr(hub_asking, "FIRST_WAIT_SECONDS", 0.02)
        patch.setattr(hub_quota, "PATIENCE_SECONDS", 1.0)
        patch.setattr(hub_quota, "PAUSE_SECONDS", 0.1)
        patch.setattr(object_committer, "Pace", functools.partial(Pace, beat=0.2, look=0.05, patience=2.0))
        hub.endpoint = hub.hub.endpoint = proxies["hub"].endpoint
        hub.hub.storage_endpoint = proxies["links"].endpoint
        stack.enter_context(connected(hub, folder / "home", token=hub.hub.add_user("ann")))
        yield World(
            folder=folder,
            seaweedfs=seaweedfs,
            bucket=seaweedfs.new_bucket(),
            hub=hub,
            proxies=proxies,
            web=WebFolders(server=web, seen_at=proxies["web"].endpoint),
            models=(_model(folder / "base", 1), _model(folder / "other", 2)),
            changed=_model(folder / "changed" / "base", 3),
        )


def run_case(world: World, case: Case) -> Told:
    """Run a case and judge how it ended."""
    told, started = Told(case=case), time.monotonic()
    faults = RandomFaults(
        case.seed, rate=case.rate, kinds=OF_READS | OF_WRITES, hang_seconds=2.5 * TIMEOUT_SECONDS
    )
    try:
        _run(world, case, faults, told)
    except Exception as error:  # noqa: BLE001  # whatever isn't ours is what must not be
        told.wrong = f"{type(error).__name__}: {error}"
    finally:
        world.set_plan(no_faults)
    told.seconds, told.faults = time.monotonic() - started, len(faults.done)
    if told.seconds > LONGEST_SECONDS:
        told.wrong = told.wrong or f"took {told.seconds:.0f} s"
    return told


def _run(world: World, case: Case, faults: FaultPlan, told: Told) -> None:
    names = [f"base{case.seed}", f"other{case.seed}"]
    sources: Sources = world.places(case.read)
    outputs: Places = world.places(case.written)
    put = {name: sources.put(name, tree(model)) for name, model in zip(names, world.models, strict=True)}
    replace = functools.partial(sources.put, names[0], tree(world.changed))
    output = outputs.new(f"out{case.seed}")
    world.set_plan(faults)
    try:
        plan = planned(names[0], names[1], put)
        watch = Watch(case.replace_after, replace)
        run_plan(plan, output_at(output), threads=2, progress=watch)
    except DistexpandError as error:
        told.error = error.message
        _judge_message(world, f"{error.message} {error.hint}", told)
    world.set_plan(no_faults)
    if told.error and case.replace_after is None:
        plan = planned(names[0], names[1], put)
        run_plan(plan, output_at(output), threads=2, mode=OutputMode.RESUME)
    if not told.error or case.replace_after is None:
        _judge_output(world, case, plan.locations, outputs.get(f"out{case.seed}"), told)
    elif "distexpand.json" in _present(outputs, f"out{case.seed}"):
        told.wrong = "ended with an error, but the output looks whole"


def _judge_message(world: World, message: str, told: Told) -> None:
    secrets = [world.seaweedfs.secret_key, world.seaweedfs.access_key, *world.hub.hub.users, "Signature="]
    if any(secret in message for secret in secrets):
        told.wrong = "a message holds a secret"


def _judge_output(
    world: World,
    case: Case,
    locations: tuple[tuple[str, str], ...],
    found: Mapping[str, bytes],
    told: Told,
) -> None:
    """Compare an output with those of local runs: with the earlier weights, or the later ones throughout."""
    models = (
        [world.models] if case.replace_after is None else [world.models, (world.changed, world.models[1])]
    )
    names = tuple(model for model, _ in locations)
    for number, sources in enumerate(models):
        place = world.folder / "expected" / f"{case.seed}-{number}"
        run_plan(planned(names[0], names[1], dict(zip(names, map(str, sources), strict=True))), place)
        if tree(place) == dict(found):
            return
    told.wrong = "the output isn't that of a local run"


def _present(outputs: Places, name: str) -> set[str]:
    try:
        return set(outputs.get(name))
    except KeyError:  # a repository that was never made
        return set()


class Watch(NoProgress):
    """Replaces a source once so many shards have their final names."""

    def __init__(self, after: int | None, replace: Callable[[], object]) -> None:
        self._left = after
        self._replace = replace
        self._lock = threading.Lock()
        if after == 0:
            replace()

    def shard_done(self, name: str) -> None:  # noqa: ARG002  # as runs call it
        """Count, and replace when it is time."""
        with self._lock:
            if self._left:
                self._left -= 1
                if self._left == 0:
                    self._replace()


def _model(directory: Path, seed: int) -> Path:
    """Write a model without files that a web server can't be asked for by name."""
    model = small_model(directory, seed=seed)
    for path in (model / "additional_chat_templates").iterdir():
        path.unlink()
    (model / "additional_chat_templates").rmdir()
    return model
