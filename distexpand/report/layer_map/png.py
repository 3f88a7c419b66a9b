"""The layer map as PNG, for places that take no SVG.

Drawn by resvg, a small renderer without dependencies, in light colours whatever the
machine prefers. Rejected: a browser, which few machines that plan have; cairo, whose
bindings need system libraries. Fonts are the system's, and a picture without its words
says nothing, so that is tried first.
"""

import zlib
from importlib import import_module
from typing import Any

from distexpand.errors import MissingDependencyError
from distexpand.report.layer_map.palette import FONT

PNG_MARK = b"Software\0distexpand"
"""By which an own picture is told from a stranger's; lies in a text chunk after the header."""

_ZOOM = 2.0
_HEADER_END = 8 + 25
_PROBE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20">'
    '<text y="16" font-size="16" font-family="{font}">{words}</text></svg>'
)


def map_png(svg: str) -> bytes:
    """Return the picture of an SVG text, twice as large as that says.

    Raises:
        MissingDependencyError: resvg isn't installed, or the system has no font that it finds.
    """
    resvg = _resvg()
    if _png(resvg, _probe("A"), 1.0) == _png(resvg, _probe(""), 1.0):
        raise MissingDependencyError(
            "drawing a PNG needs a font, and this system has none of those that are looked for",
            hint="Install one, such as the package fonts-dejavu-core; or write --svg, which needs none.",
        )
    return _marked(_png(resvg, svg, _ZOOM))


def _resvg() -> Any:
    try:
        return import_module("resvg_py")
    except ImportError:
        raise MissingDependencyError(
            "drawing a PNG needs resvg-py",
            hint="Install it with: pip install 'distexpand[png]'; or write --svg, which needs nothing.",
        ) from None


def _png(resvg: Any, svg: str, zoom: float) -> bytes:
    return bytes(resvg.svg_to_bytes(svg_string=svg, zoom=zoom))


def _probe(words: str) -> str:
    return _PROBE.format(font=FONT.replace('"', "'"), words=words)


def _marked(png: bytes) -> bytes:
    """Return the PNG with a chunk behind its header that says who made it."""
    body = b"tEXt" + PNG_MARK
    chunk = len(PNG_MARK).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return png[:_HEADER_END] + chunk + png[_HEADER_END:]
