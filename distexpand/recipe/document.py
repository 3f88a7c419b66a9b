"""Text of a recipe to plain data: dicts, lists, text, numbers.

YAML's own constructor is not used. It accepts duplicate keys, expands merge keys in
exponential time, and says nothing of which key defined an anchor. This module
works on the composed node graph instead, where an alias is the same node again, and
guarantees: linear time, bounded depth, no objects, no cycles, no duplicate keys.

One kind of duplicate is kept, because published recipes have it: a top-level key that
means nothing (`const_tag`, often) and stands several times, each time defining an
anchor that is used elsewhere.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from distexpand.errors import RecipeError

MAX_CHARACTERS = 10_000_000
MAX_DEPTH = 64
MAX_VALUES = 500_000

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_NOBODY = -1
_MERGE = f"{_TAG}merge"
_CONSTRUCTOR = SafeConstructor()
_TYPED: dict[str, Callable[[ScalarNode], object]] = {
    f"{_TAG}int": _CONSTRUCTOR.construct_yaml_int,
    f"{_TAG}float": _CONSTRUCTOR.construct_yaml_float,
    f"{_TAG}bool": _CONSTRUCTOR.construct_yaml_bool,
    f"{_TAG}null": _CONSTRUCTOR.construct_yaml_null,
}
# A date is only ever a revision or a name here, and `=` is just text.
_TEXTUAL = frozenset({f"{_TAG}str", f"{_TAG}timestamp", f"{_TAG}value"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A recipe's top-level mapping as plain data.

    `definitions` are the top-level keys that hold an anchor used under another
    top-level key; such blocks may have any name.
    """

    data: dict[str, object]
    definitions: frozenset[str]


def read_document(text: str, *, origin: str, keywords: Collection[str]) -> Document:
    """Parse YAML or JSON text whose top level is a mapping.

    `keywords` are the top-level keys that mean something in some dialect.
    """
    if len(text) > MAX_CHARACTERS:
        found = f"{len(text):,} characters"
        raise RecipeError(f"{origin}: found {found}; a recipe has at most {MAX_CHARACTERS:,}")
    text = text.removeprefix("\ufeff")
    if text.lstrip().startswith("{"):
        text = text.replace("\t", " ")  # JSON may be indented with tabs, YAML may not
    root = _compose(text, origin)
    if not isinstance(root, MappingNode):
        found = (
            "nothing" if root is None else "a list" if isinstance(root, SequenceNode) else "a single value"
        )
        raise RecipeError(f"{origin}: found {found} at the top level; expected a mapping of keys")
    return _Builder(origin=origin).document(root, keywords)


def _compose(text: str, origin: str) -> Node | None:
    try:
        _check_size(text, origin)
        return yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = " ".join(part for part in (error.context, error.problem) if part)
        if "maximum nesting depth" in problem:  # the parser's own limit, met first as it looks ahead
            raise RecipeError(f"{origin}: {where}nested deeper than {MAX_DEPTH} levels") from None
        raise RecipeError(f"{origin}: {where}not valid YAML or JSON: {problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"{origin}: not valid YAML or JSON: {reason}") from None


def _check_size(text: str, origin: str) -> None:
    """Refuse too much and too deep from the flat event stream, before anything recursive runs."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if count > MAX_VALUES:
            raise RecipeError(f"{origin}: a recipe has at most {MAX_VALUES:,} values")
        if depth > MAX_DEPTH:
            raise RecipeError(f"{origin}: {_line(event.start_mark)}nested deeper than {MAX_DEPTH} levels")


class _Builder:
    """Builds each node once, in document order, and notes who refers to whose nodes.

    An alias points backwards, so its node is either built already or, in a cycle,
    being built; the depth of recursion is that of the text.
    """

    def __init__(self, *, origin: str) -> None:
        self.origin = origin
        self._referenced: set[int] = set()
        self._built: dict[int, object] = {}
        self._owners: dict[int, int] = {}
        self._owner = _NOBODY

    def document(self, root: MappingNode, keywords: Collection[str]) -> Document:
        """Build the root; each of its entries owns the nodes first seen in it."""
        self._owners[id(root)] = _NOBODY
        self._expect_tag(root, "map")
        data: dict[str, object] = {}
        entries: dict[str, list[int]] = {}
        for index, (key_node, value_node) in enumerate(root.value):
            self._owner = index
            key = self._key(key_node)
            value = self._build(value_node)
            if key_node.tag == _MERGE:
                data = self._merged(value_node, value) | data
            else:
                data[key] = value
                entries.setdefault(key, []).append(index)
        definitions = {key for key, indices in entries.items() if self._referenced.issuperset(indices)}
        for key, indices in entries.items():
            if len(indices) > 1 and (key in keywords or key not in definitions):
                raise self._repeated(root.value[indices[1]][0], key)
        return Document(data=data, definitions=frozenset(definitions))

    def _build(self, node: Node) -> object:
        if id(node) in self._owners:
            if id(node) not in self._built:
                raise self._error(node, "an alias refers to a block that contains it")
            if self._owners[id(node)] != self._owner:
                self._referenced.add(self._owners[id(node)])
            return self._built[id(node)]
        self._owners[id(node)] = self._owner
        value: object
        if isinstance(node, MappingNode):
            value = self._mapping(node)
        elif isinstance(node, SequenceNode):
            self._expect_tag(node, "seq")
            value = [self._build(child) for child in node.value]
        else:
            value = self._scalar(node)
        self._built[id(node)] = value
        return value

    def _mapping(self, node: MappingNode) -> dict[str, object]:
        self._expect_tag(node, "map")
        own: dict[str, object] = {}
        merged: dict[str, object] | None = None
        for key_node, value_node in node.value:
            is_merge = key_node.tag == _MERGE
            key = self._key(key_node)
            if (merged is not None) if is_merge else (key in own):
                raise self._repeated(key_node, key)
            value = self._build(value_node)
            if is_merge:
                merged = self._merged(value_node, value)
            else:
                own[key] = value
        return (merged or {}) | own

    def _merged(self, node: Node, value: object) -> dict[str, object]:
        """Return what a merge key brings in; of several mappings the first wins."""
        merged: dict[str, object] = {}
        for block in reversed(value if isinstance(value, list) else [value]):
            if not isinstance(block, dict):
                raise self._error(node, "a merge key `<<` takes a mapping or a list of mappings")
            merged |= block
        return merged

    def _key(self, node: Node) -> str:
        if not isinstance(node, ScalarNode):
            raise self._error(node, "a mapping's key must be plain text")
        self._build(node)
        return str(node.value)

    def _scalar(self, node: Node) -> object:
        if node.tag in _TEXTUAL or node.tag == _MERGE:
            return str(node.value)
        construct = _TYPED.get(node.tag)
        if construct is None or not isinstance(node, ScalarNode):
            raise self._refused_tag(node)
        try:
            return construct(node)
        except (ValueError, KeyError, IndexError, OverflowError):
            kind = node.tag.removeprefix(_TAG)
            raise self._error(node, f"found {str(node.value)[:60]!r}, which is no valid {kind}") from None

    def _expect_tag(self, node: Node, kind: str) -> None:
        if node.tag != _TAG + kind:
            raise self._refused_tag(node)

    def _refused_tag(self, node: Node) -> RecipeError:
        tag = node.tag.replace(_TAG, "!!")[:100]
        return self._error(node, f"the tag `{tag}` is refused; a recipe holds plain data only")

    def _repeated(self, node: Node, key: str) -> RecipeError:
        return self._error(node, f"the key `{key[:60]}` occurs twice in one mapping")

    def _error(self, node: Node, message: str) -> RecipeError:
        return RecipeError(f"{self.origin}: {_line(node.start_mark)}{message}")


def _line(mark: Any) -> str:
    """Name the line of a mark; libyaml's and PyYAML's own have no type in common."""
    return "" if mark is None else f"line {mark.line + 1}: "
