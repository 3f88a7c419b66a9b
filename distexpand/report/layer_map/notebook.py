"""The layer map where a notebook shows a plan: the picture and a line of text, without a script."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element, tostring

from distexpand.findings import Finding
from distexpand.report.layer_map.html import node
from distexpand.report.layer_map.layers import LayerMap
from distexpand.report.layer_map.svg import map_image
from distexpand.report.sizes import bytes_text, plural


def notebook_html(shown: LayerMap, *, findings: Sequence[Finding]) -> str:
    """Return a fragment of HTML that stands in any notebook, whatever was noticed below the picture."""
    root = Element("figure", {"style": "margin:0"})
    size = bytes_text(sum(shard.size for shard in shown.shards))
    words = f"{shown.title}: {size} in {plural(len(shown.shards), 'shard')}"
    node(root, "figcaption", words)
    root.append(map_image(shown))
    if findings:
        listed = node(root, "ul")
        for finding in findings:
            node(listed, "li", f"Warning, {finding.code}: {finding.message}")
    return tostring(root, encoding="unicode", method="html")
