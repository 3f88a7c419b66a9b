"""Opening an output on the Hub: begin a run, take one over, or find that there is nothing left to do."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace

from distexpand.commit.committer import OutputMode
from distexpand.commit.complete import require_sizes
from distexpand.commit.hub_occupied import manifest_at, obsolete_files, require_vacant
from distexpand.commit.hub_run import (
    RunBranch,
    RunState,
    branch_of,
    first_state,
    read_plan,
    read_state,
    run_branches,
)
from distexpand.commit.manifest import Manifest, is_manifest_of
from distexpand.commit.output_files import require_same
from distexpand.errors import UsageError
from distexpand.plan.codec import same_work
from distexpand.plan.model import Plan
from distexpand.storage.hub_repository import HubRepository, Snapshot

_CARD_NAME = "README.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRun:
    """What was opened: the plan to execute, and the run's branch; none if the output is finished."""

    plan: Plan
    branch: RunBranch | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """An unfinished run; without a plan and state where it died at once."""

    branch: str
    commit: str
    plan: Plan | None
    state: RunState | None


def open_run(repository: HubRepository, plan: Plan, mode: OutputMode, *, target: str) -> OpenedRun:
    """Open the branch `target` for a plan.

    Raises:
        UsageError: the mode doesn't allow what is there.
        OutputError: a finished output isn't whole any more, or another run was faster.
        HubError: the Hub refused or stayed out of reach.
    """
    branches = repository.branches()
    if target not in branches:
        raise UsageError(
            f"{repository.place}: has no branch {target}",
            hint="Make it first; outputs go to branches that are there.",
        )
    found = repository.at(branches[target])
    runs = run_branches(branches)
    if mode is OutputMode.RESUME:
        return _resumed(repository, plan, found, runs, target)
    if mode is OutputMode.FRESH:
        require_vacant(found, runs, place=repository.place)
    else:
        obsolete_files(repository, found)
        for branch in runs:
            repository.delete_branch(branch)
    return _begun(repository, plan, found, target, overwrites=mode is OutputMode.OVERWRITE)


def _begun(
    repository: HubRepository,
    plan: Plan,
    found: Snapshot,
    target: str,
    *,
    overwrites: bool,
    commit: str | None = None,
) -> OpenedRun:
    """Begin a run, on a branch that is at `commit` if it is there already."""
    state = first_state(target=target, begun_at=found.commit, overwrites=overwrites)
    branch = RunBranch(repository, branch_of(plan), commit or found.commit, state)
    # The Hub refuses a card whose head it can't read: better now than after the last shard.
    texts = {text.name: text.text.encode() for text in plan.texts if text.name == _CARD_NAME}
    branch.begin(plan, texts)
    return OpenedRun(plan=plan, branch=branch)


def _resumed(
    repository: HubRepository, plan: Plan, found: Snapshot, runs: Mapping[str, str], target: str
) -> OpenedRun:
    begun = _run_of(repository, plan, runs)
    # What an overwriting run is about to replace doesn't count as finished.
    replacing = begun is not None and begun.state is not None and _still_replaces(begun.state, found)
    manifest = None if replacing else manifest_at(repository, found)
    if manifest is not None:
        _require_finished(repository, plan, found, manifest)
        if begun is not None:
            repository.delete_branch(begun.branch)
        return OpenedRun(plan=plan, branch=None)
    if begun is None:
        require_same(not runs, output=repository.place)
    if not replacing:
        require_vacant(found, (), place=repository.place)
    if begun is None or begun.plan is None:
        commit = begun.commit if begun is not None else None
        return _begun(repository, plan, found, target, overwrites=False, commit=commit)
    return _taken_over(repository, plan, found, begun, target)


def _taken_over(
    repository: HubRepository, plan: Plan, found: Snapshot, begun: _Begun, target: str
) -> OpenedRun:
    state = begun.state or first_state(target=target, begun_at=found.commit, overwrites=False)
    if state.target != target:
        raise UsageError(
            f"{repository.place}: the unfinished run is for branch {state.target}, not {target}",
            hint=f"Name {state.target}, or start anew with --overwrite.",
        )
    branch = RunBranch(
        repository, begun.branch, begun.commit, replace(state, key=secrets.token_hex(8), step=0)
    )
    branch.take_over()
    stored = begun.plan or plan
    return OpenedRun(plan=replace(stored, locations=plan.locations), branch=branch)


def _still_replaces(state: RunState, found: Snapshot) -> bool:
    return state.overwrites and state.begun_at == found.commit


def _run_of(repository: HubRepository, plan: Plan, runs: Mapping[str, str]) -> _Begun | None:
    """Return the unfinished run of a plan; that of another wording of it, if there is none of this one."""
    own = branch_of(plan)
    for branch, commit in sorted(runs.items(), key=lambda run: run[0] != own):
        stored = read_plan(repository, commit)
        if branch == own or (stored is not None and same_work(stored, plan)):
            return _Begun(branch=branch, commit=commit, plan=stored, state=read_state(repository, commit))
    return None


def _require_finished(repository: HubRepository, plan: Plan, found: Snapshot, manifest: Manifest) -> None:
    place = repository.place
    require_same(is_manifest_of(manifest, plan), output=place)
    sizes = {name: file.size for name, file in found.files.items()}
    require_sizes(sizes.get, manifest, plan, output=place)
