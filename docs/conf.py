"""How the documentation becomes a site: `make docs`.

The source directory is the repository's root, so that every link between pages, and from a page to a file
beside it, is the same relative path on a code host and in the site. Sphinx checks them: a warning is an
error, and a link to a page, a heading or a file that isn't there is a warning.

Nothing is fetched, neither by the build nor by who reads the site. Rejected: MkDocs, of which
no release has come since 2024; Zensical, its successor, while it is at 0.1.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from distexpand import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "distexpand"
author = "the distexpand authors"
project_copyright = author
version = release = __version__

root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "cluster/**",
    "configs/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
]
exclude_patterns = [".*", "site", "build", "dist", "**/node_modules", "demo-output", "docs/examples"]
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}

nitpicky = True
myst_heading_anchors = 4
myst_links_external_new_tab = False

html_theme = "furo"
html_title = "distexpand"
html_copy_source = False
html_show_sphinx = False
html_show_sourcelink = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

_FIRST_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>distexpand</title>
<meta http-equiv="refresh" content="0; url=docs/index.html"><a href="docs/index.html">distexpand</a></html>
"""


_SECTION = re.compile(r"^## (.+)$((?:(?!^## )[\s\S])*)", re.MULTILINE)
_ENTRY = re.compile(r"^- \[(.+?)\]\((.+?)\.md\)", re.MULTILINE)


def _add_menu(app: "Sphinx", docname: str, source: list[str]) -> None:
    """Make the site's menu of the lists on its first page, which so needs no directives of the builder's."""
    if docname != app.config.root_doc:
        return
    for caption, listed in _SECTION.findall(source[0]):
        entries = "\n".join(f"{title} <{path}>" for title, path in _ENTRY.findall(listed))
        source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n"


def _write_first_page(app: "Sphinx", exception: Exception | None) -> None:
    """Lead from the site's root to its first page, which lies in a folder as in the repository."""
    if exception is None:
        (Path(app.outdir) / "index.html").write_text(_FIRST_PAGE, encoding="utf-8")


def setup(app: "Sphinx") -> None:
    """Register with Sphinx."""
    app.connect("source-read", _add_menu)
    app.connect("build-finished", _write_first_page)
