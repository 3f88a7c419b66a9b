"""What a repository of the Hub may hold when a run begins, and what of it is replaced."""

from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub", reason="needs pip install 'distexpand[hub]'")

from distexpand.commit.committer import OutputMode
from distexpand.commit.hub.committer import HubCommitter
from distexpand.commit.hub.run import branch_of
from distexpand.errors import OutputError, UsageError
from distexpand.planning.model import Plan
from distexpand.storage.address import Address
from tests.api.small import BLOCKS, small_plan
from tests.commit.hosts import attempted
from tests.commit.hub_runs import (
    NAME,
    Output,
    begun_run,
    hold_sources,
    open_output,
    publish,
    run_on_hub,
)

# The library's own use of its HTTP client where a large file is sent.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

SMALL = 5000


def test_an_output_that_isn_t_empty_is_refused(hub_place: Output, plan: Plan) -> None:
    hub_place.server.hub.add(NAME, {"precious.json": b"{}"})
    for mode in OutputMode:
        with pytest.raises(UsageError, match=r"precious\.json"):
            open_output(hub_place, plan, mode)
    assert hub_place.files() == {"precious.json": b"{}"}
    assert hub_place.branches == ["main"]


def test_a_repository_that_was_made_in_the_browser_counts_as_empty(
    hub_place: Output, plan: Plan, expected: dict[str, bytes]
) -> None:
    hub_place.server.hub.add(NAME, {"README.md": b"---\nlicense: mit\n---\n"})
    run_on_hub(hub_place, plan)
    assert hub_place.files() == expected


def test_unfinished_and_finished_outputs_are_told_apart(hub_place: Output, plan: Plan, model: Path) -> None:
    other = small_plan(BLOCKS, model, shard_size=SMALL)
    with begun_run(hub_place, plan, shards=1):
        pass
    with pytest.raises(UsageError) as refused:
        open_output(hub_place, plan, OutputMode.FRESH)
    assert "--resume" in refused.value.hint
    with pytest.raises(UsageError, match="begun with another plan"):
        open_output(hub_place, other, OutputMode.RESUME)
    run_on_hub(hub_place, plan, OutputMode.RESUME)
    commits = hub_place.commits
    with open_output(hub_place, plan, OutputMode.RESUME) as committer:
        assert committer.finished
    with pytest.raises(UsageError, match="begun with another plan"):
        open_output(hub_place, other, OutputMode.RESUME)
    with pytest.raises(UsageError) as refused:
        open_output(hub_place, plan, OutputMode.FRESH)
    assert "--overwrite" in refused.value.hint
    assert (hub_place.commits, hub_place.branches) == (commits, ["main"])


def test_a_finished_output_that_lost_a_file_isn_t_taken_for_whole(hub_place: Output, plan: Plan) -> None:
    run_on_hub(hub_place, plan)
    hub_place.server.hub.repositories[NAME].commit("main", {plan.shards[1].name: None}, title="oops")
    with pytest.raises(OutputError, match=f"{plan.shards[1].name} is missing"):
        open_output(hub_place, plan, OutputMode.RESUME)


@pytest.mark.parametrize("interrupted", [False, True])
def test_an_earlier_output_is_replaced_in_one_commit(
    hub_place: Output, plan: Plan, model: Path, expected: dict[str, bytes], interrupted: bool
) -> None:
    earlier = small_plan(BLOCKS, model, shard_size=3000)
    run_on_hub(hub_place, earlier)
    before, commits = hub_place.files(), hub_place.commits
    assert before.keys() - expected.keys()
    if interrupted:
        with begun_run(hub_place, plan, OutputMode.OVERWRITE, shards=2):
            pass
        assert hub_place.files() == before
    run_on_hub(hub_place, plan, OutputMode.RESUME if interrupted else OutputMode.OVERWRITE)
    assert hub_place.files() == expected
    assert hub_place.commits == commits + 1


def test_the_same_output_is_made_anew(hub_place: Output, plan: Plan, expected: dict[str, bytes]) -> None:
    run_on_hub(hub_place, plan)
    with begun_run(hub_place, plan, OutputMode.OVERWRITE, shards=1):
        pass
    with open_output(hub_place, plan, OutputMode.RESUME) as committer:
        assert not committer.finished
        assert len(committer.receipts) == 1
    run_on_hub(hub_place, plan, OutputMode.RESUME)
    assert hub_place.files() == expected


def test_overwriting_leaves_what_it_didn_t_write(hub_place: Output, plan: Plan) -> None:
    run_on_hub(hub_place, plan)
    hub_place.server.hub.add(NAME, {"notes/mine.json": b"1"})
    before = hub_place.files()
    with pytest.raises(UsageError, match=r"notes/mine\.json, which distexpand didn't write"):
        open_output(hub_place, plan, OutputMode.OVERWRITE)
    shard = plan.shards[0].name
    hub_place.server.hub.add(NAME, {shard: b"other"})
    hub_place.server.hub.repositories[NAME].commit("main", {"notes/mine.json": None}, title="gone")
    with pytest.raises(UsageError, match=f"{shard}, which distexpand didn't write as it is now"):
        open_output(hub_place, plan, OutputMode.OVERWRITE)
    assert before.keys() - hub_place.files().keys() == {"notes/mine.json"}


def test_overwriting_an_unfinished_run(
    hub_place: Output, plan: Plan, model: Path, expected: dict[str, bytes]
) -> None:
    with begun_run(hub_place, small_plan(BLOCKS, model, shard_size=SMALL), shards=1):
        pass
    run_on_hub(hub_place, plan, OutputMode.OVERWRITE)
    assert hub_place.files() == expected
    assert hub_place.branches == ["main"]


def test_what_somebody_puts_there_meanwhile_is_not_run_over(hub_place: Output, plan: Plan) -> None:
    with begun_run(hub_place, plan, shards=len(plan.shards)) as committer:
        hub_place.server.hub.add(NAME, {"precious.json": b"{}"})
        with pytest.raises(UsageError, match=r"precious\.json"):
            publish(committer)
    assert hub_place.files() == {"precious.json": b"{}"}
    assert branch_of(plan) in hub_place.branches


def test_a_model_card_that_is_changed_meanwhile_is_no_obstacle(
    hub_place: Output, plan: Plan, expected: dict[str, bytes]
) -> None:
    with begun_run(hub_place, plan, shards=len(plan.shards)) as committer:
        hub_place.server.hub.add(NAME, {"README.md": b"soon here"})
        publish(committer)
    assert hub_place.files() == expected


def test_another_branch_may_hold_the_output(
    hub_place: Output, plan: Plan, expected: dict[str, bytes]
) -> None:
    hub_place.server.hub.add(NAME, {"precious.json": b"{}"})
    repository = hub_place.server.hub.repositories[NAME]
    repository.branches["big"] = repository.at("main").parent
    address = Address(scheme="hf", root=NAME, revision="big")
    with HubCommitter(address, plan, OutputMode.FRESH, scratch=hub_place.scratch) as committer:
        hold_sources(committer)
        for shard in plan.shards:
            committer.commit(attempted(committer, shard))
        publish(committer)
    assert hub_place.files("big") == expected
    assert hub_place.files() == {"precious.json": b"{}"}
    with pytest.raises(UsageError, match="no branch gone"):
        HubCommitter(Address(scheme="hf", root=NAME, revision="gone"), plan, OutputMode.FRESH)
