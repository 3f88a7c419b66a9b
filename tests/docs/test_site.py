"""The site is built without a warning, loads nothing from elsewhere, and has every page."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, pages

pytest.importorskip("sphinx", reason="needs pip install 'distexpand[docs]'")
pytest.importorskip("furo", reason="needs pip install 'distexpand[docs]'")
pytest.importorskip("myst_parser", reason="needs pip install 'distexpand[docs]'")

_LOADED = re.compile(
    r"""(?:\bsrc=|<link[^>]*\bhref=|@import\s+(?:url\()?|url\()["']?(?:https?:)?//[^"')>\s]+"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the built site; a warning of the builder, such as a link that leads nowhere, is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs"]
    done = subprocess.run(
        [*command, "-d", str(folder / "doctrees"), ".", str(folder / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


def test_the_site_has_every_page(site: Path) -> None:
    assert [page for page in pages() if not (site / page).with_suffix(".html").is_file()] == []
    assert (site / "index.html").is_file()


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    files = [path for path in site.rglob("*") if path.suffix in {".html", ".css"}]
    assert len(files) > len(pages())
    assert {path.name: _LOADED.findall(path.read_text(encoding="utf-8")) for path in files} == {
        path.name: [] for path in files
    }


def test_every_link_of_the_site_leads_to_a_file_and_a_place_in_it(site: Path) -> None:
    ids = {path: set(re.findall(r'\bid="([^"]+)"', path.read_text())) for path in site.rglob("*.html")}
    broken = []
    for page in ids:
        for target in re.findall(r'<a[^>]*\bhref="([^"]+)"', page.read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            found = (page.parent / path).resolve() if path else page
            if not found.is_file() or (anchor and anchor not in ids[found]):
                broken.append(f"{page.relative_to(site)}: {target}")
    assert broken == []
