"""A committer that is taken for dead and isn't: whatever it does, the other one's output is right."""

import pytest

from distexpand.commit.committer import OutputMode
from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.commit.objects.committer import ObjectCommitter
from distexpand.commit.work_directory import NOTICE_NAME
from distexpand.errors import DistexpandError, InterruptedRunError, OutputTakenError
from distexpand.storage.local.directories import WORK_DIRECTORY
from tests.api.small import BLOCKS, small_plan
from tests.commit.store_runs import DEAD_SOON, execute, run_to_store, staged


@pytest.fixture(scope="module")
def other_plan(model):
    return small_plan(BLOCKS, model, shard_size=9000)


@pytest.fixture
def zombie(plan, place):
    """Return a committer that gives no sign of life."""
    with ObjectCommitter(place.address, plan, OutputMode.FRESH, pace=DEAD_SOON) as committer:
        yield committer


@pytest.fixture
def other_expected(other_plan, new_place):
    place = new_place()
    run_to_store(other_plan, place.address)
    return place.tree()


def _taken_over_before(zombie, named, take_over):
    """Let another run take over when the zombie has been told that it holds the output, and gives a name."""
    names = zombie._names._names
    give = names.give

    def giving(name, *rest):
        if name == named:
            take_over()
        return give(name, *rest)

    names.give = giving


def test_what_it_commits_too_late_is_refused(plan, expected, place, zombie):
    receipt = staged(zombie, plan.shards[0])
    run_to_store(plan, place.address, mode=OutputMode.RESUME, pace=DEAD_SOON)
    with pytest.raises(OutputTakenError, match="another run has taken this output over"):
        zombie.commit(receipt)
    zombie.close()
    place.assert_is(expected)


def test_a_beat_tells_it(plan, place, zombie):
    with ObjectCommitter(place.address, plan, OutputMode.RESUME, pace=DEAD_SOON):
        zombie.require_held()
        with pytest.raises(OutputTakenError):
            zombie._lease._change()
        with pytest.raises(OutputTakenError):
            zombie.require_held()


@pytest.mark.parametrize("which", ["a shard", "config.json", MANIFEST_NAME])
def test_a_file_that_it_was_about_to_name_gets_no_name(other_plan, other_expected, place, zombie, which):
    """Also where the other plan has no file of that name, which could take it first."""
    named = zombie.plan.shards[1].name if which == "a shard" else which
    others = []

    def take_over():
        others.append(ObjectCommitter(place.address, other_plan, OutputMode.OVERWRITE, pace=DEAD_SOON))

    _taken_over_before(zombie, named, take_over)
    with pytest.raises(DistexpandError):
        execute(zombie)
    zombie.close()
    with others[0] as other:
        assert {name for name in place.tree() if not name.startswith(WORK_DIRECTORY)} == {NOTICE_NAME}
        execute(other)
    place.assert_is(other_expected)


def test_a_file_that_it_named_in_time_is_seen(other_plan, other_expected, place, zombie):
    named, others = zombie.plan.shards[1].name, []

    def take_over():
        others.append(ObjectCommitter(place.address, other_plan, OutputMode.OVERWRITE, pace=DEAD_SOON))

    names = zombie._names._names
    give = names.give

    def giving(name, *rest):
        done = give(name, *rest)
        if name == named:
            take_over()
        return done

    names.give = giving
    with pytest.raises(OutputTakenError):
        execute(zombie)
    zombie.close()
    with others[0] as other:
        execute(other)
    place.assert_is(other_expected)


def test_a_shard_that_it_named_after_all_is_taken_for_the_other_s_of_the_same_run(
    plan, expected, place, zombie
):
    """The lease keeps it from that; even if it didn't, the bytes are the same."""
    with ObjectCommitter(place.address, plan, OutputMode.RESUME, pace=DEAD_SOON) as other:
        zombie._lease.require_held = lambda: None
        with pytest.raises(InterruptedRunError):
            execute(zombie, stop=_AfterTwo(zombie))
        assert len(zombie.receipts) == 2
        execute(other)
    place.assert_is(expected)


class _AfterTwo:
    """Stops a run when it has committed two shards."""

    def __init__(self, committer):
        self._committer = committer

    def is_set(self):
        return len(self._committer.receipts) == 2
