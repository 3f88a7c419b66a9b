"""Commits to the Hub that were given up and had been made: what comes after them follows them."""

import json
from collections.abc import Callable

import pytest

pytest.importorskip("huggingface_hub", reason="needs pip install 'distexpand[hub]'")

from distexpand.commit.committer import OutputMode
from distexpand.errors import OutputError, OutputTakenError
from distexpand.planning.model import Plan
from tests.commit.hosts import attempted
from tests.commit.hub_runs import Output, begun_run, publish, run_on_hub, shard_bytes
from tests.support.hub_server import Fault, lost_answer, rate_limited
from tests.support.hub_server.messages import Answer, json_answer

# The library's own use of its HTTP client where a large file is sent.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REFUSED = rate_limited(header="")


def made_and_refused(at: int) -> list[Fault]:
    """A commit is made, and the answer is that no more are taken for now."""
    return [Fault(route="commit", skip=at, times=1, spoil=lambda _: REFUSED)]


def made_and_not_to_be_seen(at: int) -> list[Fault]:
    """A commit is made, its answer lost, and then it can't be asked for either."""
    lost = Fault(route="commit", skip=at, times=1, spoil=lost_answer)
    return [lost, Fault(route="refs", times=6, answer=REFUSED, when=lambda _: lost.seen > at)]


@pytest.mark.parametrize("at", range(9))
@pytest.mark.parametrize("faults", [made_and_refused, made_and_not_to_be_seen])
def test_a_commit_that_was_made_unnoticed_is_gone_on_from(
    hub_place: Output, plan: Plan, expected: dict[str, bytes], faults: Callable[[int], list[Fault]], at: int
) -> None:
    """That of the plan, of the sources, of each shard and the last, in turn."""
    hub_place.server.faults += faults(at)
    run_on_hub(hub_place, plan)
    assert hub_place.server.faults[0].seen > at
    assert hub_place.files() == expected
    assert hub_place.branches == ["main"]
    assert hub_place.commits == 2
    assert hub_place.sent_bytes == shard_bytes(plan)


def test_every_commit_is_made_unnoticed(hub_place: Output, plan: Plan, expected: dict[str, bytes]) -> None:
    hub_place.server.faults.append(Fault(route="commit", spoil=lambda _: REFUSED, times=50))
    run_on_hub(hub_place, plan)
    assert hub_place.files() == expected
    assert hub_place.commits == 2


def test_an_output_that_was_replaced_unnoticed_is_replaced_once(
    hub_place: Output, plan: Plan, expected: dict[str, bytes]
) -> None:
    """The earlier output has the same manifest, and doesn't count as made."""
    run_on_hub(hub_place, plan)
    hub_place.server.faults += made_and_refused(2 + len(plan.shards))
    run_on_hub(hub_place, plan, OutputMode.OVERWRITE)
    assert hub_place.files() == expected
    assert hub_place.commits == 2


def test_a_run_whose_unnoticed_commit_was_taken_over_is_told(
    hub_place: Output, plan: Plan, expected: dict[str, bytes]
) -> None:
    with begun_run(hub_place, plan, shards=1) as first:
        hub_place.server.faults += made_and_refused(0)
        first.commit(attempted(first, plan.shards[1]))
        assert len(first.receipts) == 1
        with begun_run(hub_place, plan, OutputMode.RESUME, shards=2) as second:
            assert len(second.receipts) == 2
            with pytest.raises(OutputTakenError, match="another run has taken this output over"):
                first.commit(attempted(first, plan.shards[2]))
            for shard in plan.shards[2:]:
                second.commit(attempted(second, shard))
            publish(second)
    assert hub_place.files() == expected


def test_a_branch_that_is_said_to_have_moved_and_hasn_t_is_asked_again(
    hub_place: Output, plan: Plan, expected: dict[str, bytes]
) -> None:
    moved = json_answer({"error": "A commit has happened since."}, status=412)
    hub_place.server.faults.append(Fault(route="commit", skip=3, times=2, answer=moved))
    run_on_hub(hub_place, plan)
    assert hub_place.files() == expected


def test_a_shard_that_the_branch_doesn_t_hold_is_told_before_the_end(
    hub_place: Output, plan: Plan, expected: dict[str, bytes]
) -> None:
    lacked = plan.shards[1].name

    def without_it(answer: Answer) -> Answer:
        found = json.loads(answer.body)
        found["siblings"] = [file for file in found["siblings"] if file["rfilename"] != lacked]
        return json_answer(found)

    with begun_run(hub_place, plan, shards=len(plan.shards)) as committer:
        hub_place.server.faults.append(Fault(route="model", spoil=without_it))
        with pytest.raises(OutputError, match=f"lacks {lacked}") as told:
            publish(committer)
        assert "--resume" in told.value.hint
        hub_place.server.faults.clear()
    assert hub_place.files() == {}
    run_on_hub(hub_place, plan, OutputMode.RESUME)
    assert hub_place.files() == expected
