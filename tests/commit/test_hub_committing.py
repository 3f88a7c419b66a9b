"""Outputs on the Hub: visible at once or not at all, resumed without sending a shard again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub", reason="needs pip install 'distexpand[hub]'")

from distexpand.commit.committer import OutputMode
from distexpand.commit.hub.run import branch_of
from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.errors import OutputError, StorageError
from distexpand.planning.model import Plan, TextFile
from tests.api.small import COPIES, small_model, small_plan
from tests.commit.hosts import attempted
from tests.commit.hub_runs import (
    NAME,
    Output,
    begun_run,
    hold_sources,
    open_output,
    publish,
    run_on_hub,
    shard_bytes,
)
from tests.support.hub_server import Fault
from tests.support.hub_server.messages import Answer, json_answer

# The library's own use of its HTTP client where a large file is sent.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

SMALL = 5000


def test_the_output_is_the_local_run_s(hub_place: Output, plan: Plan, expected: dict[str, bytes]) -> None:
    run_on_hub(hub_place, plan)
    assert hub_place.files() == expected
    assert hub_place.branches == ["main"]
    assert hub_place.commits == 2
    assert hub_place.sent_bytes == shard_bytes(plan)
    assert hub_place.staged == []
    assert hub_place.server.hub.repositories[NAME].private
    assert not hub_place.server.tokens_seen


def test_a_public_repository_is_made_on_request(hub_place: Output, plan: Plan) -> None:
    run_on_hub(hub_place, plan, private=False)
    assert not hub_place.server.hub.repositories[NAME].private


def test_nothing_shows_before_the_last_commit(hub_place: Output, plan: Plan) -> None:
    with begun_run(hub_place, plan, shards=len(plan.shards)) as committer:
        assert hub_place.files() == {}
        assert hub_place.branches == [branch_of(plan), "main"]
        assert hub_place.staged == []
        publish(committer)
    assert MANIFEST_NAME in hub_place.files()


@pytest.mark.parametrize("shards", [0, 1, 3])
def test_a_resumed_run_sends_no_finished_shard_again(
    hub_place: Output, plan: Plan, expected: dict[str, bytes], shards: int
) -> None:
    with begun_run(hub_place, plan, shards=shards):
        pass
    sent = hub_place.sent_bytes
    assert sent == sum(shard.size for shard in plan.shards[:shards])
    with open_output(hub_place, plan, OutputMode.RESUME) as committer:
        assert committer.receipts.keys() == {shard.name for shard in plan.shards[:shards]}
    run_on_hub(hub_place, plan, OutputMode.RESUME)
    assert hub_place.sent_bytes == shard_bytes(plan)
    assert hub_place.files() == expected


def test_an_upload_that_fails_is_gone_on_with(
    hub_place: Output, plan: Plan, expected: dict[str, bytes]
) -> None:
    fault = Fault(route="upload", skip=2, answer=json_answer({}, status=403))
    hub_place.server.faults.append(fault)
    with pytest.raises(StorageError, match="ann/big"):
        run_on_hub(hub_place, plan)
    assert hub_place.files() == {}
    assert hub_place.staged == []
    hub_place.server.faults.clear()
    hub_place.server.traffic.clear()
    run_on_hub(hub_place, plan, OutputMode.RESUME)
    assert hub_place.sent_bytes == sum(shard.size for shard in plan.shards[2:])
    assert hub_place.files() == expected


def test_what_the_host_of_large_files_says_isn_t_repeated(hub_place: Output, plan: Plan) -> None:
    said = b"<Error><Code>SignatureDoesNotMatch</Code><SignatureProvided>secret</SignatureProvided></Error>"
    hub_place.server.faults.append(Fault(route="upload", answer=Answer(status=403, body=said)))
    with pytest.raises(StorageError) as failed:
        run_on_hub(hub_place, plan)
    assert failed.value.message == (
        "hf://ann/big: the host of large files answered 403: SignatureDoesNotMatch"
    )
    assert "secret" not in str(failed.value.__cause__) + failed.value.hint


def test_a_shard_that_was_sent_but_not_committed_isn_t_sent_again(
    hub_place: Output, plan: Plan, expected: dict[str, bytes]
) -> None:
    with begun_run(hub_place, plan, shards=1) as committer:
        hub_place.server.faults.append(Fault(route="commit"))
        with pytest.raises(StorageError):
            committer.commit(attempted(committer, plan.shards[1]))
    hub_place.server.faults.clear()
    run_on_hub(hub_place, plan, OutputMode.RESUME)
    assert hub_place.sent_bytes == shard_bytes(plan)
    assert hub_place.files() == expected


def test_a_shard_that_isn_t_as_its_receipt_says_is_made_again(
    hub_place: Output, plan: Plan, expected: dict[str, bytes]
) -> None:
    with begun_run(hub_place, plan, shards=2):
        pass
    name = plan.shards[0].name
    changed = bytes(len(expected[name]))
    hub_place.server.hub.add(NAME, {name: changed}, branch=branch_of(plan))
    with open_output(hub_place, plan, OutputMode.RESUME) as committer:
        assert committer.receipts.keys() == {plan.shards[1].name}
    run_on_hub(hub_place, plan, OutputMode.RESUME)
    assert hub_place.files() == expected


def test_a_source_that_changed_is_noticed_on_resume(hub_place: Output, tmp_path: Path) -> None:
    model = small_model(tmp_path / "a")
    plan = small_plan(COPIES, model, shard_size=SMALL)
    with begun_run(hub_place, plan, shards=1):
        pass
    shard = min(model.glob("*.safetensors"))
    raw = bytearray(shard.read_bytes())
    raw[-1] ^= 1
    shard.write_bytes(raw)
    with (
        open_output(hub_place, plan, OutputMode.RESUME) as committer,
        pytest.raises(OutputError, match="changed"),
    ):
        hold_sources(committer)


def test_without_a_login_nothing_is_begun(
    hub_place: Output, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(StorageError, match="needs a login") as refused:
        open_output(hub_place, plan, OutputMode.FRESH)
    assert "hf auth login" in refused.value.hint
    assert hub_place.server.hub.repositories == {}


def test_what_may_not_be_written_is_refused(
    hub_place: Output, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = hub_place.server.hub.add_user("bob")
    monkeypatch.setenv("HF_TOKEN", stranger)
    with pytest.raises(StorageError, match="isn't allowed") as refused:
        open_output(hub_place, plan, OutputMode.FRESH)
    assert stranger not in str(refused.value) + refused.value.hint
    hub_place.server.hub.add(NAME, {})
    with pytest.raises(StorageError, match="isn't allowed"):
        open_output(hub_place, plan, OutputMode.FRESH)


def test_a_card_that_the_hub_refuses_is_told_before_the_first_shard(hub_place: Output, plan: Plan) -> None:

    texts = [text for text in plan.texts if text.name != "README.md"]
    card = TextFile(name="README.md", text="---\nbase_model: ../x\n---\n")
    with pytest.raises(StorageError, match="base_model"):
        open_output(hub_place, replace(plan, texts=(*texts, card)), OutputMode.FRESH)


@pytest.mark.parametrize("name", ["config.json", "model-00002"])
def test_a_hub_that_does_something_else_than_asked_is_found_out(
    hub_place: Output, plan: Plan, name: str
) -> None:
    with begun_run(hub_place, plan, shards=len(plan.shards)) as committer:
        repository = hub_place.server.hub.repositories[NAME]

        def spoil(answer: Answer) -> Answer:
            (wrong,) = (path for path in repository.at("main").tree if path.startswith(name))
            other = repository.add_blob(b"x") if "-" in name else None
            made = repository.commit("main", {wrong: other}, title="")
            return json_answer({**json.loads(answer.body), "commitOid": made.oid})

        hub_place.server.faults.append(Fault(route="commit", spoil=spoil))
        with pytest.raises(OutputError, match=f"the Hub has {name}.* not as it was sent"):
            publish(committer)
