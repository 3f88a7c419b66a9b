"""What is said of how bytes would move is what then happens, before anything is tried or made."""

from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from distexpand.runner.io_words import existing_folder, io_words, shareable_sources
from distexpand.storage.local.direct import PAGE
from distexpand.storage.local.reader import LocalReader
from distexpand.storage.memory import BytesReader
from distexpand.storage.ranges import RangeReader
from tests.api.small import COPIES, small_model
from tests.cli.calls import Cli
from tests.storage.contract import noise
from tests.support.mounts import CLONING, HERE, KINDS, FileSystems, fresh_folder, shares_blocks

WAYS = {"xfs": "direct", "btrfs": "direct", "tmpfs": "buffered", "overlay": "buffered"}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def opened(stack: ExitStack, folder: Path, count: int = 2, size: int = 3 * PAGE) -> list[RangeReader]:
    """Write files and open them until the stack is left."""
    readers: list[RangeReader] = []
    for number in range(count):
        (folder / f"{number}").write_bytes(noise(size))
        readers.append(stack.enter_context(closing(LocalReader(folder / f"{number}"))))
    return readers


@pytest.mark.parametrize("kind", KINDS)
def test_sources_of_the_output_s_file_system_are_shareable_where_any_are(
    kind: str, file_systems: FileSystems
) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(fresh_folder(file_systems[kind]))
        other = stack.enter_context(fresh_folder(file_systems["tmpfs"]))
        readers = [BytesReader(b"x"), *opened(stack, other), *opened(stack, folder), BytesReader(b"y")]
        before = sorted(folder.iterdir())
        expected = {3, 4} if shares_blocks(folder) else set()
        for output in (folder, folder / "not" / "there yet"):
            assert shareable_sources(readers, output) == expected
        assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("kind", CLONING)
def test_a_source_smaller_than_a_block_does_not_speak_for_the_others(
    kind: str, file_systems: FileSystems
) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(fresh_folder(file_systems[kind]))
        small = opened(stack, folder, 1, 100)
        (folder / "more").mkdir()
        assert shareable_sources([*small, *opened(stack, folder / "more")], folder) >= {1, 2}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != HERE])
def test_words_name_way_and_file_system_once_each(kind: str, file_systems: FileSystems) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(fresh_folder(file_systems[kind]))
        readers = [BytesReader(b"x"), *opened(stack, folder)]
        way = f"{WAYS[kind]} ({kind})"
        assert io_words(readers, None, ()) == f"read {way}"
        assert io_words(readers, folder / "out", ()) == f"read {way}, write {way}"
        assert io_words(readers, folder, {1}) == f"read {way}, write {way}, share blocks where they can be"
        assert io_words([BytesReader(b"x")], None, ()) == ""


def test_the_folder_that_an_output_would_be_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path, tmp_path / "a", tmp_path / "file", tmp_path / "file" / "out", Path(), Path("a/b")):
        assert existing_folder(path) == tmp_path
    assert existing_folder(tmp_path / ("x" * 300) / "out") == tmp_path
    assert existing_folder(Path("/nowhere/at/all")) == Path("/")


@pytest.mark.parametrize("kind", ["xfs", "tmpfs"])
def test_a_run_says_how_bytes_move_only_if_asked(cli: Cli, kind: str, file_systems: FileSystems) -> None:
    with fresh_folder(file_systems[kind]) as folder:
        model = small_model(folder / "a")
        recipe = folder / "recipe.yml"
        recipe.write_text(COPIES)
        arguments = ("--model", f"a={model}")
        planned = cli("plan", recipe, *arguments, "--json")
        assert planned.document["io"] == f"read {WAYS[kind]} ({kind})"
        plain = cli("run", recipe, folder / "one", *arguments)
        told = cli("run", recipe, folder / "other", *arguments, "--verbose", "--no-clone")
        assert plain.code == told.code == 0
        words = [f"reading {WAYS[kind]} ({kind})", f"writing {WAYS[kind]} ({kind})"]
        assert [word in told.err for word in words] == [True, True]
        assert [word in plain.err for word in words] == [False, False]
        as_json = cli("run", recipe, folder / "third", *arguments, "--verbose", "--json")
        assert as_json.document["plan"]["io"].startswith("read ")
        assert words[0] in as_json.err
