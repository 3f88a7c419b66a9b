"""Attempts that go to a store as whole files keep the contract of an output, and leave nothing here."""

import pytest

from distexpand.errors import StorageError
from distexpand.storage.address import Address
from distexpand.storage.local.directories import LocalOutput
from distexpand.storage.objects.copied_names import CopiedNames
from distexpand.storage.objects.files import ObjectFiles
from distexpand.storage.objects.staged_attempt import StagedOutput, staged_path
from tests.storage.contract import OutputContract, noise, read

NAME = "model.safetensors"


@pytest.fixture
def address(container):
    return Address(scheme="az", root=container, path="some/where")


@pytest.fixture
def scratch(tmp_path):
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.fixture
def output(address, scratch):
    return StagedOutput(address, LocalOutput(scratch), run="r")


@pytest.fixture
def names(address, scratch):
    return CopiedNames(ObjectFiles(address), LocalOutput(scratch))


class TestStagedOutput(OutputContract):
    @pytest.fixture
    def contents(self, address, azurite):
        def whole(attempt, size):
            path = f"{address.path}/{staged_path(attempt.name)}"
            raw = azurite.client.get_blob_client(address.root, path).download_blob().readall()
            assert len(raw) == size
            return raw

        return whole

    @pytest.fixture(autouse=True)
    def nothing_stays_here(self, scratch, address, azurite):
        """Nothing has a final name, and the disk is free again."""
        yield
        assert list(scratch.iterdir()) == []
        assert all(name.startswith(f"{address.path}/.distexpand/") for name in azurite.contents(address.root))


@pytest.mark.parametrize("size", [0, 5, 17 << 20, 40 << 20])
def test_a_file_gets_its_name_by_a_copy_in_the_store(output, names, azurite, address, size):
    raw = noise(size)
    with output.begin(NAME, size) as attempt:
        attempt.write(0, memoryview(raw))
        attempt.finish()
    assert names.is_whole(NAME, attempt.name, size)
    assert not names.is_whole(NAME, attempt.name, size + 1)
    assert names.made(NAME) is None
    assert names.give(NAME, attempt.name, size)
    made = names.made(NAME)
    assert (made.size, made.token, made.run) == (size, names.token(NAME, attempt.name), "r")
    same = azurite.contents(address.root) == {f"some/where/{NAME}": raw}
    assert same


def test_a_file_that_is_there_is_not_replaced(output, names, azurite, address):
    azurite.put(address.root, {f"some/where/{NAME}": b"precious"})
    with output.begin(NAME, 5) as attempt:
        attempt.finish()
    assert not names.give(NAME, attempt.name, 5)
    assert names.made(NAME).token == ""
    assert azurite.contents(address.root)[f"some/where/{NAME}"] == b"precious"


@pytest.mark.parametrize("finished", [False, True])
def test_of_an_attempt_that_fails_nothing_stays(output, scratch, azurite, address, finished):
    attempt = output.begin(NAME, 5)
    attempt.write(0, memoryview(b"12345"))
    if finished:
        attempt.finish()
    attempt.__exit__(KeyError, KeyError(), None)
    assert list(scratch.iterdir()) == []
    assert azurite.contents(address.root) == {}


def test_what_was_sent_off_is_here_no_more(output):
    with output.begin(NAME, 5) as attempt:
        attempt.finish()
        with pytest.raises(StorageError, match="was sent off"):
            read(attempt, 0, 5)
        with pytest.raises(StorageError, match="was sent off"):
            attempt.write(0, memoryview(b"1"))


def test_what_is_staged_is_listed_and_dropped(output, names):
    attempts = []
    for _ in range(3):
        with output.begin(NAME, 5) as attempt:
            attempt.finish()
        attempts.append(attempt.name)
    found = names.staged([], keep=attempts[:1])
    assert len(found) == 2
    assert names.staged_bytes(found) == 10
    names.drop(found)
    names.drop(found)
    assert names.is_whole(NAME, attempts[0], 5)
    assert not names.is_whole(NAME, attempts[1], 5)
