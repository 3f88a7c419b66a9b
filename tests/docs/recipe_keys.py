"""The keys that a hand-written reference page explains: the first cells of a section's tables."""

import re
from pathlib import Path

_KEY = re.compile(r"^\| `(\w+)`")


def documented(page: Path, section: str) -> set[str]:
    """Return the keys in the first column of the tables between a heading and the next of any level."""
    lines = page.read_text(encoding="utf-8").splitlines()
    starts = [index for index, line in enumerate(lines) if line.lstrip("#").strip() == section]
    assert len(starts) == 1, f"{page.name}: {section}"
    found = set()
    for line in lines[starts[0] + 1 :]:
        if line.startswith("#"):
            break
        key = _KEY.match(line)
        if key:
            found.add(key[1])
    return found
