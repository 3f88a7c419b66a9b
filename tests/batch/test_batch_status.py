"""The status document and its file: read as written, never half, no change lost, nothing secret in it."""

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.batch.document import Batch, read_batch
from distexpand.batch.locks import is_locked, lock_path, trying_lock
from distexpand.batch.run import exit_code
from distexpand.batch.status import (
    Entry,
    Failure,
    HookDone,
    Runner,
    State,
    Status,
    decode_status,
    encode_status,
    make_status,
)
from distexpand.batch.status_file import StatusFile
from distexpand.errors import UsageError
from tests.api.small import tree
from tests.batch.batches import Folder

SECRET = "hf_planted0123456789abcdefghijklmnop"
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
entries = st.builds(
    Entry,
    output=texts,
    name=texts,
    recipe=texts,
    state=st.sampled_from(State),
    doing=texts,
    tries=st.integers(0, 9),
    plan=texts,
    started=texts,
    ended=texts,
    seconds=st.floats(0, 1e9),
    error=st.none() | st.builds(Failure, kind=texts, message=texts, hint=texts),
    hooks=st.lists(st.builds(HookDone, hook=texts, key=texts, ended=texts), max_size=2).map(tuple),
    runner=st.none() | st.builds(Runner, host=texts, pid=st.integers(1, 9999), job=texts),
)
statuses = st.builds(Status, file=texts, updated=texts, expansions=st.lists(entries, max_size=4).map(tuple))


@settings(deadline=None)  # other tests run beside it
@given(statuses)
def test_what_is_written_is_read(status: Status) -> None:
    assert decode_status(encode_status(status), origin="s.json") == status


@settings(deadline=None)  # other tests run beside it
@given(statuses)
def test_totals_count_every_expansion_once(status: Status) -> None:
    totals = status.to_json()["totals"]
    assert sum(totals[state.value] for state in State) == totals["expansions"] == len(status.expansions)


@settings(deadline=None)  # other tests run beside it
@given(statuses, st.data())
def test_damage_is_an_error_and_never_something_else(status: Status, data: st.DataObject) -> None:
    raw = encode_status(status)
    cut = raw[: data.draw(st.integers(0, len(raw) - 3))]
    with pytest.raises(UsageError, match=r"s\.json"):
        decode_status(cut, origin="s.json")
    document = json.loads(raw)
    del document[data.draw(st.sampled_from(["format_version", "file", "updated", "expansions"]))]
    with pytest.raises(UsageError, match=r"s\.json"):
        decode_status(json.dumps(document).encode(), origin="s.json")


@pytest.mark.parametrize(
    ("states", "stopped", "code"),
    [
        (["done", "done"], False, 0),
        (["done", "done"], True, 0),
        (["done", "elsewhere"], False, 75),
        (["done", "running"], False, 75),
        (["failed", "elsewhere"], False, 1),
        (["failed", "interrupted"], True, 130),
        (["done", "waiting"], True, 130),
    ],
)
def test_exit_codes(states: list[str], stopped: bool, code: int) -> None:
    made = [Entry(output=str(n), name="", recipe="", state=State(state)) for n, state in enumerate(states)]
    assert exit_code(make_status("b.yml", made), stopped=stopped) == code


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    path = tmp_path / "b.yml"
    listed = [{"recipe": "r.yml", "output": f"out{number}"} for number in range(4)]
    path.write_text(json.dumps({"expansions": listed}))
    return read_batch(path)


def test_no_change_is_lost_and_no_look_sees_half_a_file(batch: Batch) -> None:
    StatusFile(batch).open()
    over = threading.Event()
    looks: list[int] = []

    def look() -> None:
        while not over.is_set():
            looks.append(len(json.loads(batch.status.read_bytes())["expansions"]))

    def work(number: int) -> None:
        for _ in range(25):
            StatusFile(batch).update(
                batch.expansions[number], lambda entry: replace(entry, tries=entry.tries + 1)
            )

    # Two for each expansion: a lock holds between threads as it does between processes.
    threads = [threading.Thread(target=work, args=(number % 4,)) for number in range(8)]
    looker = threading.Thread(target=look)
    for thread in (looker, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    looker.join()
    assert [entry.tries for entry in StatusFile(batch).read().expansions] == [50] * 4
    assert looks
    assert set(looks) == {4}


def test_the_lock_and_not_the_file_says_who_is_at_work(batch: Batch) -> None:
    board = StatusFile(batch)
    board.open()
    first = batch.expansions[0]
    board.update(first, lambda entry: replace(entry, state=State.RUNNING))
    assert board.true_state().expansions[0].state is State.INTERRUPTED
    with trying_lock(lock_path(batch, first)) as held:
        assert held is not None
        assert board.true_state().expansions[0].state is State.RUNNING
        with trying_lock(lock_path(batch, first)) as other:
            assert other is None
    assert not is_locked(lock_path(batch, first))


def test_an_expansion_that_left_the_file_leaves_the_status(batch: Batch) -> None:
    StatusFile(batch).open()
    shorter = replace(batch, expansions=batch.expansions[1:])
    StatusFile(shorter).open()
    names = [entry["name"] for entry in json.loads(batch.status.read_bytes())["expansions"]]
    assert names == ["out1", "out2", "out3"]


def test_another_list_s_status_is_refused(batch: Batch, tmp_path: Path) -> None:
    StatusFile(batch).open()
    before = batch.status.read_bytes()
    path = tmp_path / "c.yml"
    listed = [{"recipe": "r.yml", "output": "else"}]
    path.write_text(json.dumps({"status": "b.status.json", "expansions": listed}))
    with pytest.raises(UsageError, match=r"the status of another list, .*b\.yml"):
        StatusFile(read_batch(path)).open()
    assert batch.status.read_bytes() == before


def test_a_message_with_bytes_that_are_no_text_spoils_no_status(batch: Batch) -> None:
    board = StatusFile(batch)
    board.open()
    failure = Failure(kind="UsageError", message="out: holds caf\udce9.txt")
    board.update(batch.expansions[0], lambda entry: replace(entry, error=failure))
    error = board.entry(batch.expansions[0]).error
    assert error is not None
    assert error.message == "out: holds caf?.txt"


def test_what_a_killed_change_left_is_removed(batch: Batch) -> None:
    StatusFile(batch).open()
    left = batch.status.with_name(f"{batch.status.name}.locks") / f"{batch.status.name}.0123"
    left.write_bytes(b"half")
    StatusFile(batch).open()
    assert not left.exists()


def test_hooks_have_the_environment_and_nothing_keeps_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path / "b", outputs=2)
    seen = ["sh", "-c", 'test ${#HF_TOKEN} = "$0" && touch seen', str(len(SECRET))]
    folder.write(
        folder.entry("out0", after=["verify", seen]), folder.entry("out1", after=["sh", "-c", "exit 1"])
    )
    monkeypatch.setenv("HF_TOKEN", SECRET)
    result = folder.run()
    assert result.code == 1
    assert (folder.path / "seen").exists()
    assert SECRET not in result.out + result.err
    assert not [name for name, raw in tree(folder.path).items() if SECRET.encode() in raw]


def test_a_local_batch_imports_nothing_heavy(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "b", outputs=1)
    program = (
        "import sys; from distexpand.cli.main import run_cli\n"
        f"code = run_cli(['batch', {str(folder.file)!r}])\n"
        "sys.exit(code or bool({'torch', 'ray', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
