"""Answers of the Hub that make no sense: asked for again, and told in words if that doesn't help."""

import pytest

pytest.importorskip("huggingface_hub", reason="needs pip install 'distexpand[hub]'")

from distexpand.commit.committer import OutputMode
from distexpand.planning.model import Plan
from distexpand.storage.hub.errors import HubError
from tests.commit.hub_runs import Output, run_on_hub
from tests.support.hub_server import Fault
from tests.support.hub_server.messages import Answer

# The library's own use of its HTTP client where a large file is sent.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

READ = ("create", "model", "refs", "validate-yaml", "preupload", "lfs-batch", "paths-info", "commit")
"""Routes whose answers the library takes apart."""

BODIES = (b"", b"<html>Please sign in</html>", b"\xff\xfe", b"null", b"[]", b"{}", b'{"files": [{}]}')


@pytest.mark.parametrize("body", BODIES)
def test_an_answer_that_makes_no_sense_is_asked_for_again(
    hub_place: Output, plan: Plan, expected: dict[str, bytes], body: bytes
) -> None:
    """What was asked for was done all the same."""
    hub_place.server.faults += [
        Fault(route=route, times=2, skip=skip, spoil=lambda _: Answer(body=body))
        for route in READ
        for skip in (0, 4)
    ]
    run_on_hub(hub_place, plan)
    assert hub_place.files() == expected
    assert hub_place.commits == 2


@pytest.mark.parametrize(
    ("route", "body"), [(route, BODIES[number % len(BODIES)]) for number, route in enumerate(READ)]
)
def test_answers_that_never_make_sense_are_told(
    hub_place: Output, plan: Plan, expected: dict[str, bytes], route: str, body: bytes
) -> None:
    hub_place.server.faults.append(Fault(route=route, answer=Answer(body=body)))
    with pytest.raises(HubError, match="the Hub's answer makes no sense") as told:
        run_on_hub(hub_place, plan)
    assert "HF_ENDPOINT" in told.value.hint
    hub_place.server.faults.clear()
    run_on_hub(hub_place, plan, OutputMode.RESUME)
    assert hub_place.files() == expected
