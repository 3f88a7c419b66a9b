"""Runs to a Hub that fails at random: each ends with an error or with the right output, and is resumed."""

from dataclasses import replace
from random import Random
from types import SimpleNamespace

import pytest

pytest.importorskip("huggingface_hub", reason="needs pip install 'distexpand[hub]'")

from huggingface_hub.utils import _http

from distexpand.commit.committer import OutputMode
from distexpand.errors import DistexpandError
from distexpand.planning.model import Plan
from tests.commit.hub_runs import NAME, Output, run_on_hub
from tests.support.hub_server import Fault, lost_answer, rate_limited
from tests.support.hub_server.messages import Answer, json_answer

# The library's own use of its HTTP client where a large file is sent.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

RUNS = 50
MOST_TRIES = 50

ROUTES = (
    "commit",
    "create",
    "create-branch",
    "delete-branch",
    "lfs-batch",
    "lfs-verify",
    "model",
    "paths-info",
    "preupload",
    "refs",
    "resolve",
    "upload",
    "validate-yaml",
)


def _cut(answer: Answer) -> Answer:
    return replace(answer, cut=answer.length // 2)


def random_fault(random: Random) -> Fault:
    """Return something that goes wrong for a while, from some request on."""
    kinds = [
        {"spoil": lost_answer},
        {"spoil": _cut},
        {"spoil": lambda _: rate_limited(header="")},
        {"spoil": lambda _: Answer(status=500)},
        {"answer": json_answer({"error": "Internal Error"}, status=500)},
        {"answer": Answer(status=503)},
        {"answer": Answer(status=403)},
        {"answer": rate_limited(header=random.choice(["RateLimit", "Retry-After", ""]))},
    ]
    return Fault(
        route=random.choice(ROUTES),
        skip=random.randrange(12),
        times=random.choice([1, 1, 2, 4, 12]),
        **random.choice(kinds),
    )


def failure(hub_place: Output, plan: Plan, mode: OutputMode) -> DistexpandError | None:
    try:
        run_on_hub(hub_place, plan, mode)
    except DistexpandError as error:
        return error
    return None


def seen(hub_place: Output) -> dict[str, bytes]:
    return hub_place.files() if NAME in hub_place.server.hub.repositories else {}


@pytest.mark.parametrize("seed", range(RUNS))
def test_whatever_fails_the_output_is_right_or_isn_t_there(
    hub_place: Output, plan: Plan, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda _: None))
    random = Random(seed)
    hub_place.server.faults += [random_fault(random) for _ in range(random.randint(1, 4))]
    mode = OutputMode.FRESH
    for _ in range(MOST_TRIES):
        failed = failure(hub_place, plan, mode)
        if failed is None:
            break
        assert "127.0.0.1" not in failed.message
        assert seen(hub_place) in ({}, expected)
        mode = OutputMode.RESUME
    assert hub_place.files() == expected
    hub_place.server.faults.clear()
    run_on_hub(hub_place, plan, OutputMode.RESUME)
    assert hub_place.files() == expected
    assert hub_place.branches == ["main"]
    assert hub_place.staged == []
