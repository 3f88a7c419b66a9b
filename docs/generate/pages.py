"""Which pages are generated, and by what; a test writes them again and compares."""

from pathlib import Path

from docs.generate.command_line import command_line_page
from docs.generate.python_api import python_api_page

REFERENCE = Path(__file__).parents[1] / "reference"

PAGES = {"command-line.md": command_line_page, "python-api.md": python_api_page}
"""File name under `docs/reference` to the function that returns the page's text."""
