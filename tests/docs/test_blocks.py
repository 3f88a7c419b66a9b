"""Every code block of every page does what its page says."""

import json
import re
import subprocess
import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from docs.generate.pages import PAGES
from tests.docs.blocks import Block, blocks_of, pages
from tests.docs.commands import check_shell, commands
from tests.docs.table import PARSED, PREPARED, PROGRAMS, TEXTS, Parsed, Prepared
from tests.docs.world import World

for _library in ("torch", "transformers", "ray", "obstore", "huggingface_hub"):
    pytest.importorskip(_library, reason="the pages use all that can be installed")

_WITH_BLOCKS = [page for page in pages() if blocks_of(page)]
_NAMED = re.compile(r"# ([\w.-]+\.(?:ya?ml|json))\b")
_RECIPE = {"slices", "models", "modules", "block_expansion", "depth_up_scaling", "repeat", "layer_map"}
_PROGRAMS = re.compile(r"^\s*(\$ |distexpand |pip |make |kubectl |python )", re.MULTILINE)


@pytest.mark.parametrize("page", _WITH_BLOCKS)
def test_the_blocks_of_a_page_run(world: World, page: str) -> None:
    folder = world.fresh(page)
    with ExitStack() as stack:
        session: list[subprocess.Popen[str]] = []
        for block in blocks_of(page):
            if _entry(block, PARSED):
                _check_form(block)
            elif block.language == "python":
                if not session:
                    session.append(stack.enter_context(world.python(folder)))
                _run_python(world, block, session[0])
            else:
                _run(world, block, folder)


def test_every_entry_of_the_table_names_one_block() -> None:
    blocks = [block for page in _WITH_BLOCKS for block in blocks_of(page)]
    for entry in (*PARSED, *PREPARED):
        assert len([block for block in blocks if entry.names(block)]) == 1, entry


def test_no_command_hides_in_a_block_of_text() -> None:
    generated = {f"docs/reference/{name}" for name in PAGES}
    for page in set(_WITH_BLOCKS) - generated:
        for block in blocks_of(page):
            if block.language in TEXTS and not _entry(block, PARSED):
                assert not _PROGRAMS.search(block.text), block


def _entry(block: Block, entries: tuple[Parsed | Prepared, ...]) -> Parsed | Prepared | None:
    return next((entry for entry in entries if entry.names(block)), None)


def _before(block: Block) -> str:
    entry = _entry(block, PREPARED)
    return f"{entry.before}\n" if isinstance(entry, Prepared) else ""


def _run(world: World, block: Block, folder: Path) -> None:
    match block.language:
        case "sh":
            _run_shell(world, block, _before(block) + block.text, folder)
        case "yaml":
            _run_yaml(world, block, folder)
        case _:
            assert block.language in {*TEXTS, "json", "toml"}, f"{block}: {block.language}"
            _check_form(block)


def _run_shell(world: World, block: Block, text: str, folder: Path) -> None:
    used = {words[0] for words in commands(block.text) if block.language == "sh"}
    assert used <= PROGRAMS, f"{block}: {used - PROGRAMS}: to be listed in tests/docs/table.py"
    done = world.shell(text, folder)
    assert done.returncode == 0, f"{block}: exit code {done.returncode}\n{text}\n{done.stdout}"


def _run_yaml(world: World, block: Block, folder: Path) -> None:
    """Write the file that a block names in its first line; plan what is a recipe."""
    named = _NAMED.match(block.text)
    path = folder / (named[1] if named else "block.yml")
    path.write_text(world.substituted(block.text), encoding="utf-8")
    document = yaml.safe_load(block.text)
    if "expansions" in document:
        return  # a batch is run by the shell block that names it
    assert document.keys() & _RECIPE, f"{block}: neither a recipe nor a batch"
    _run_shell(world, block, f"{_before(block)}distexpand plan {path.name}", folder)


def _run_python(world: World, block: Block, session: subprocess.Popen[str]) -> None:
    assert session.stdin is not None
    assert session.stdout is not None
    session.stdin.write(json.dumps(world.substituted(_before(block) + block.text)) + "\n")
    session.stdin.flush()
    answer = session.stdout.readline()
    assert answer, f"{block}: Python ended"
    assert not json.loads(answer), f"{block}\n{block.text}\n{json.loads(answer)}"


def _check_form(block: Block) -> None:
    match block.language:
        case "sh":
            check_shell(block.text)
        case "python":
            compile(block.text, str(block), "exec")
        case "yaml":
            yaml.safe_load(block.text)
        case "json":
            json.loads(block.text)
        case "toml":
            tomllib.loads(block.text)
