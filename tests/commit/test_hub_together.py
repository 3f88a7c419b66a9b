"""Several runs on one repository of the Hub, answers that were lost, and commits that are used up."""

import pytest

pytest.importorskip("huggingface_hub", reason="needs pip install 'distexpand[hub]'")

from distexpand.commit.committer import OutputMode
from distexpand.commit.hub import opening as hub_opening
from distexpand.commit.hub.committer import HubCommitter, clean_hub_output
from distexpand.commit.hub.run import branch_of
from distexpand.errors import OutputTakenError
from distexpand.planning.model import Plan
from distexpand.storage.hub.repository import HubRepository
from tests.commit.hosts import attempted
from tests.commit.hub_runs import (
    ADDRESS,
    NAME,
    Output,
    begun_run,
    hold_sources,
    open_output,
    publish,
    run_on_hub,
    shard_bytes,
)
from tests.support.hub_server import Fault, lost_answer, rate_limited

# The library's own use of its HTTP client where a large file is sent.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.mark.parametrize("route", ["commit", "create", "create-branch", "delete-branch"])
@pytest.mark.parametrize("at", range(4))
def test_lost_answers_do_no_harm(
    hub_place: Output, plan: Plan, expected: dict[str, bytes], route: str, at: int
) -> None:
    """The work was done; the client doesn't know, and may not do it again."""
    hub_place.server.faults.append(Fault(route=route, skip=at, times=2, spoil=lost_answer))
    run_on_hub(hub_place, plan)
    assert hub_place.files() == expected
    assert hub_place.branches == ["main"]
    assert hub_place.commits == 2


def test_of_two_runs_the_earlier_is_told_that_it_has_lost(
    hub_place: Output, plan: Plan, expected: dict[str, bytes]
) -> None:
    with (
        begun_run(hub_place, plan, shards=1) as first,
        begun_run(hub_place, plan, OutputMode.RESUME, shards=2) as second,
    ):
        with pytest.raises(OutputTakenError, match="another run has taken this output over"):
            first.commit(attempted(first, plan.shards[2]))
        for act in (first.require_held, lambda: publish(first)):
            with pytest.raises(OutputTakenError):
                act()
        for shard in plan.shards[2:]:
            second.commit(attempted(second, shard))
        publish(second)
    assert hub_place.files() == expected


def test_of_two_runs_that_begin_at_once_one_is_told_that_it_has_lost(
    hub_place: Output, plan: Plan, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second looks before the first has made its branch, and commits after."""
    real = hub_opening._Opening._begun
    firsts: list[HubCommitter] = []

    def begun(*arguments, **named):
        monkeypatch.setattr(hub_opening._Opening, "_begun", real)
        firsts.append(open_output(hub_place, plan, OutputMode.FRESH))
        return real(*arguments, **named)

    monkeypatch.setattr(hub_opening._Opening, "_begun", begun)
    with pytest.raises(OutputTakenError):
        open_output(hub_place, plan, OutputMode.FRESH)
    firsts[0].close()
    run_on_hub(hub_place, plan, OutputMode.RESUME)
    assert hub_place.files() == expected


def test_a_run_whose_branch_was_deleted_is_told(hub_place: Output, plan: Plan) -> None:
    with begun_run(hub_place, plan, shards=1) as committer:
        assert clean_hub_output(ADDRESS) == ()
        assert hub_place.branches == [branch_of(plan), "main"], "finished shards are there, and stay"
        committer._repository.delete_branch(branch_of(plan))
        with pytest.raises(OutputTakenError):
            committer.commit(attempted(committer, plan.shards[1]))
    assert hub_place.branches == ["main"]
    assert clean_hub_output(ADDRESS) == ()


def test_only_branches_of_runs_that_are_over_are_cleaned(
    hub_place: Output, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(HubRepository, "delete_branch", lambda *_: None)
        run_on_hub(hub_place, plan)
    branches = hub_place.server.hub.repositories[NAME].branches
    branches |= dict.fromkeys(["distexpand-120b", "distexpand-0123456789ab"], branches["main"])
    assert branch_of(plan) in hub_place.branches
    assert clean_hub_output(ADDRESS) == (branch_of(plan),)
    assert hub_place.branches == ["distexpand-0123456789ab", "distexpand-120b", "main"]


def test_where_commits_are_used_up_shards_are_committed_together(
    hub_place: Output, plan: Plan, expected: dict[str, bytes]
) -> None:
    """The Hub allows so many commits an hour; sending goes on."""
    told: list[str] = []
    hub_place.server.faults.append(Fault(route="commit", skip=3, times=4, answer=rate_limited(header="")))
    run_on_hub(hub_place, plan, told=told.append)
    assert hub_place.files() == expected
    assert hub_place.sent_bytes == shard_bytes(plan)


def test_the_end_of_a_run_waits_for_commits(
    hub_place: Output, plan: Plan, expected: dict[str, bytes]
) -> None:
    told: list[str] = []
    with open_output(hub_place, plan, OutputMode.FRESH, told=told.append) as committer:
        hold_sources(committer)
        fault = Fault(route="commit", times=len(plan.shards) + 3, answer=rate_limited(header=""))
        hub_place.server.faults.append(fault)
        for shard in plan.shards:
            committer.commit(attempted(committer, shard))
        assert committer.receipts == {}
        assert hub_place.staged == []
        publish(committer)
        assert fault.seen == len(plan.shards) + 3 + 2
    assert len(told) == 1
    assert "takes no more requests for now" in told[0]
    assert hub_place.files() == expected


def test_what_was_sent_is_committed_when_the_run_ends_early(hub_place: Output, plan: Plan) -> None:
    with open_output(hub_place, plan, OutputMode.FRESH) as committer:
        hold_sources(committer)
        hub_place.server.faults.append(Fault(route="commit", times=1, answer=rate_limited(header="")))
        committer.commit(attempted(committer, plan.shards[0]))
        assert committer.receipts == {}
    with open_output(hub_place, plan, OutputMode.RESUME) as committer:
        assert len(committer.receipts) == 1
