"""Opening an output on the Hub: begin a run, take one over, or find that there is nothing left to do."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from distexpand.commit.committer import OutputMode
from distexpand.commit.complete import require_sizes
from distexpand.commit.hub.occupied import manifest_at, obsolete_files, require_vacant
from distexpand.commit.hub.run import (
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
from distexpand.planning.codec.plans import same_work
from distexpand.planning.model import Plan
from distexpand.storage.hub.repository import HubRepository, Snapshot

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


def open_run(
    repository: HubRepository,
    plan: Plan,
    mode: OutputMode,
    *,
    target: str,
    told: Callable[[str], None],
) -> OpenedRun:
    """Open the branch `target` for a plan; `told` takes in words what is waited for.

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
    opening = _Opening(repository=repository, plan=plan, target=target, found=found, told=told)
    return opening.open(mode, opening.runs_for_target(run_branches(branches)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opening:
    """What is opened for what; `found` is what the target holds."""

    repository: HubRepository
    plan: Plan
    target: str
    found: Snapshot
    told: Callable[[str], None]

    def runs_for_target(self, named: Mapping[str, str]) -> dict[str, str]:
        """Return those branches that hold a run for this target, and the plan's own whatever it holds."""
        own, runs = branch_of(self.plan), {}
        for branch, commit in named.items():
            state = None if branch == own else read_state(self.repository, commit)
            if branch == own or (state is not None and state.target == self.target):
                runs[branch] = commit
        return runs

    def open(self, mode: OutputMode, runs: Mapping[str, str]) -> OpenedRun:
        """Open it, `runs` being the branches of unfinished runs."""
        if mode is OutputMode.RESUME:
            return self._resumed(runs)
        if mode is OutputMode.FRESH:
            require_vacant(self.found, runs, place=self.repository.place)
        else:
            obsolete_files(self.repository, self.found)
            for branch in runs:
                self.repository.delete_branch(branch)
        return self._begun(overwrites=mode is OutputMode.OVERWRITE)

    def _begun(self, *, overwrites: bool, commit: str | None = None) -> OpenedRun:
        """Begin a run, on a branch that is at `commit` if it is there already."""
        branch = self._branch(
            branch_of(self.plan), commit or self.found.commit, self._first_state(overwrites=overwrites)
        )
        # The Hub refuses a card whose head it can't read: better now than after the last shard.
        texts = {text.name: text.text.encode() for text in self.plan.texts if text.name == _CARD_NAME}
        branch.begin(self.plan, texts)
        return OpenedRun(plan=self.plan, branch=branch)

    def _resumed(self, runs: Mapping[str, str]) -> OpenedRun:
        begun = self._run_of_plan(runs)
        # What an overwriting run is about to replace doesn't count as finished.
        replacing = begun is not None and begun.state is not None and self._still_replaces(begun.state)
        manifest = None if replacing else manifest_at(self.repository, self.found)
        if manifest is not None:
            self._require_finished(manifest)
            if begun is not None:
                self.repository.delete_branch(begun.branch)
            return OpenedRun(plan=self.plan, branch=None)
        if begun is None:
            require_same(not runs, output=self.repository.place)
        if not replacing:
            require_vacant(self.found, (), place=self.repository.place)
        if begun is None or begun.plan is None:
            return self._begun(overwrites=False, commit=begun.commit if begun is not None else None)
        return self._taken_over(begun, begun.plan)

    def _taken_over(self, begun: _Begun, stored: Plan) -> OpenedRun:
        state = begun.state or self._first_state(overwrites=False)
        if state.target != self.target:
            place = self.repository.place
            raise UsageError(
                f"{place}: the unfinished run is for branch {state.target}, not {self.target}",
                hint=f"Name {state.target}, or start anew with --overwrite.",
            )
        state = replace(state, key=secrets.token_hex(8), step=0)
        branch = self._branch(begun.branch, begun.commit, state)
        branch.take_over()
        return OpenedRun(plan=replace(stored, locations=self.plan.locations), branch=branch)

    def _branch(self, name: str, head: str, state: RunState) -> RunBranch:
        return RunBranch(self.repository, name, head, state, self.told)

    def _first_state(self, *, overwrites: bool) -> RunState:
        return first_state(target=self.target, begun_at=self.found.commit, overwrites=overwrites)

    def _still_replaces(self, state: RunState) -> bool:
        return state.overwrites and state.begun_at == self.found.commit

    def _run_of_plan(self, runs: Mapping[str, str]) -> _Begun | None:
        """Return the unfinished run of the plan, or of another wording of it where there is no such."""
        own = branch_of(self.plan)
        for branch, commit in sorted(runs.items(), key=lambda run: run[0] != own):
            stored = read_plan(self.repository, commit)
            if branch == own or (stored is not None and same_work(stored, self.plan)):
                state = read_state(self.repository, commit)
                return _Begun(branch=branch, commit=commit, plan=stored, state=state)
        return None

    def _require_finished(self, manifest: Manifest) -> None:
        place = self.repository.place
        require_same(is_manifest_of(manifest, self.plan), output=place)
        sizes = {name: file.size for name, file in self.found.files.items()}
        require_sizes(sizes.get, manifest, self.plan, output=place)
