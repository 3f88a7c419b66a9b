"""Links between pages lead somewhere, on a code host, which renders files where they lie, as in the site."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.docs.blocks import ROOT, pages

_PATH = re.compile(r"(?:distexpand|docs|tests|benchmarks|configs)/[\w./-]+")


@pytest.mark.parametrize("page", pages())
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: str) -> None:
    for target in _links(page):
        path, _, anchor = target.partition("#")
        found = (ROOT / page).parent / path if path else ROOT / page
        assert found.resolve().is_relative_to(ROOT), target
        assert found.is_file(), f"{target}: a directory has no page in the site" if found.is_dir() else target
        assert not anchor or anchor in _anchors(found), target


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    left = [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        targets = [target.partition("#")[0] for target in _links(page.relative_to(ROOT).as_posix())]
        left += [(page.parent / target).resolve() for target in targets if target]
    assert {ROOT / page for page in pages()} - seen == set()


def test_every_file_that_a_page_names_is_there() -> None:
    missing = []
    for page in pages():
        for token in _inline((ROOT / page).read_text(encoding="utf-8")):
            named = _PATH.fullmatch(token.content) if token.type == "code_inline" else None
            if named and not list(ROOT.glob(token.content.rstrip("/"))):
                missing.append(f"{page}: {token.content}")
    assert missing == []


def _links(page: str) -> Iterator[str]:
    for token in _inline((ROOT / page).read_text(encoding="utf-8")):
        target = str(token.attrGet("href") or token.attrGet("src") or "")
        if target and not re.match(r"[a-z]+:", target):
            yield target


def _inline(text: str) -> Iterator[Token]:
    for token in MarkdownIt().enable("table").parse(text):
        yield from token.children or ()


def _anchors(page: Path) -> set[str]:
    """Return the names that code hosts and the site give to a page's headings."""
    tokens = MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8"))
    headings = [after.children or () for token, after in pairwise(tokens) if token.type == "heading_open"]
    texts = ["".join(child.content for child in children) for children in headings]
    return {re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-") for text in texts}
