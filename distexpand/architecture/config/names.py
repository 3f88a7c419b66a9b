r"""Names of layers in a config's texts: which modules aren't quantised, which are quantised otherwise.

Entries of lists and keys of tables that name a layer follow it: a layer that is
used twice gives two, one that is dropped none. Texts may be regular expressions
with escaped dots (`.*\\.layers\\.3\\..*`); one that has no plain number where
the layer's number would be can't be followed, and is reported.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distexpand.architecture.layer_rules.rule import Origin
from distexpand.errors import ArchitectureError
from distexpand.findings import Finding
from distexpand.formats.json_text import brief

_TOWER = re.compile(r"(^|[._])(vision|visual|vit|image|img|audio|speech)[._]")
_SIDES = ("encoder", "decoder")


@dataclass(frozen=True, slots=True)
class LayerNames:
    """How texts name layers of one stack, and where each source's layers go."""

    prefix: str
    places: Mapping[int, Mapping[int, Sequence[int]]]
    """Number of a source, and of a layer in it, to the output layers made of it."""
    findings: list[Finding] = field(default_factory=list)

    def layer(self, text: str) -> int | None:
        """Return the number of the layer that a text names, or nothing."""
        match = self._pattern().search(text)
        return int(match["layer"]) if match and self._is_ours(text[: match.start()]) else None

    def renamed(self, text: str, layer: int) -> str:
        """Return the text with another layer's number."""
        return self._pattern().sub(lambda match: f"{match['stack']}{layer}", text, count=1)

    def is_vague(self, text: str) -> bool:
        """Whether a text speaks of layers by a pattern in the number's place."""
        stack = re.search(rf"(?<![A-Za-z0-9_]){self._container()}\\?\.(?=[\[(\\{{])", text)
        return stack is not None and self._is_ours(text[: stack.start()])

    def _container(self) -> str:
        return re.escape(self.prefix.rstrip(".").rpartition(".")[2])

    def _pattern(self) -> re.Pattern[str]:
        stack = rf"(?<![A-Za-z0-9_]){self._container()}\\?\.|(?<=\.\*)\\\."
        return re.compile(rf"(?P<stack>{stack})(?P<layer>\d{{1,6}})(?![0-9])")

    def _is_ours(self, head: str) -> bool:
        other = next((side for side in _SIDES if side in head and side not in self.prefix), "")
        return not other and (_TOWER.search(head) is None or _TOWER.search(self.prefix) is not None)


def layer_names(prefix: str, origins: Sequence[Origin]) -> LayerNames:
    """Return how texts name the layers of a stack in a new order."""
    places: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, (source, layer) in enumerate(origins):
        places[source][layer].append(place)
    return LayerNames(prefix, places)


def follow_names(
    configs: Mapping[int, Mapping[str, Any]], names: LayerNames
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the base's config with every name of a layer changed to the new order, and where that was.

    Args:
        configs: every source's config by its number, the base's by 0; entries that name
            layers of a source come from its own.
        names: how layers are named; unclear ones are added to its findings.

    Raises:
        ArchitectureError: a config is nested hundreds of levels deep.
    """
    follower = _Follower(names)
    others = {number: config for number, config in configs.items() if number}
    try:
        result = follower.mapping(configs[0], "", others)
    except RecursionError:
        raise ArchitectureError("config.json: nested too deeply") from None
    return result, tuple(dict.fromkeys(follower.changed))


class _Follower:
    """Walks a config; `others` are what the other sources have at the same place."""

    def __init__(self, names: LayerNames) -> None:
        self.names = names
        self.changed: list[str] = []

    def mapping(self, value: Mapping[Any, Any], path: str, others: Mapping[int, Any]) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key, inner in value.items():
            there = {n: other.get(key) for n, other in others.items() if isinstance(other, Mapping)}
            inside = f"{path}.{key}" if path else str(key)
            for name in self._followed(key, path):
                result[name] = inner if str(key).startswith("_") else self._value(inner, inside, there)
        for source, other in others.items():
            for key in other if isinstance(other, Mapping) else ():
                result |= dict.fromkeys(self._foreign(key, source), other[key])
        return result

    def _value(self, value: Any, path: str, others: Mapping[int, Any]) -> Any:
        if isinstance(value, Mapping):
            return self.mapping(value, path, others)
        if isinstance(value, list):
            return self._list(value, path, others)
        return self._text(value, path) if isinstance(value, str) else value

    def _list(self, value: Sequence[Any], path: str, others: Mapping[int, Any]) -> list[Any]:
        result: list[Any] = []
        for item in value:
            result += self._followed(item, path) if isinstance(item, str) else [self._value(item, path, {})]
        for source, other in others.items():
            for item in other if isinstance(other, list) else ():
                result += [name for name in self._foreign(item, source) if name not in result]
        return result

    def _followed(self, text: Any, path: str) -> list[Any]:
        layer = self.names.layer(text) if isinstance(text, str) else None
        if layer is None:
            if isinstance(text, str) and self.names.is_vague(text):
                self.names.findings.append(_unclear(path, text))
            return [text]
        found = [self.names.renamed(text, place) for place in self.names.places.get(0, {}).get(layer, ())]
        if found != [text]:
            self.changed.append(path)
        return found

    def _foreign(self, text: Any, source: int) -> list[str]:
        layer = self.names.layer(text) if isinstance(text, str) else None
        places = () if layer is None else self.names.places.get(source, {}).get(layer, ())
        return [self.names.renamed(text, place) for place in places]

    def _text(self, text: str, path: str) -> str:
        layer = self.names.layer(text)
        if layer is None:
            return text
        places = self.names.places.get(0, {}).get(layer, ())
        if len(places) != 1:
            self.names.findings.append(_unclear(path, text))
            return text
        if places[0] != layer:
            self.changed.append(path)
        return self.names.renamed(text, places[0])


def _unclear(path: str, text: str) -> Finding:
    return Finding(
        code="config-rule",
        message=f"config.json: {path!r} names layers by their old numbers ({brief(text)}) and is kept",
        advice="Check that it is right for the new order of layers.",
    )
