"""Rules by which a config tells its layers apart without listing them: what a rule is, and how it is fitted.

A rule ("the first k layers are dense", "every 6th layer is global") is two
functions: `expand` says what it makes of each layer, `fit` proposes values for
a new order. A proposal counts only if expanding it gives every output layer
what its source layer had, so that a wrong proposal costs an expansion at most
refused, never one that is wrong. Rejected: computing the new value of each key
in its own way, where every formula would have to be right by itself.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distexpand.architecture.layer_rules.paths import look_up
from distexpand.errors import ArchitectureError
from distexpand.formats.json_text import brief

Values = Mapping[str, Any]
"""A rule's keys and what the config says under them, or what its class takes when it says nothing."""

Origin = tuple[int, int]
"""Where an output layer comes from: number of the source's config and layer in it."""

Facts = tuple[Any, ...]
"""What a rule makes of each layer: words, numbers, or a `Ref` to another layer."""

_WRONG_VALUES = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError)
"""What arithmetic on a stranger's values may raise: a text for a number, a period of 0, and so on."""

_UNREADABLE = "unclear"


@dataclass(frozen=True, slots=True)
class Ref:
    """A layer's bond to another layer: what it does with it, and which one it is."""

    bond: str
    layer: int | Origin

    def __str__(self) -> str:
        """Return it as a message has it; the layer's number is that in its source."""
        return f"{self.bond} layer {self.layer[1] if isinstance(self.layer, tuple) else self.layer}"


@dataclass(frozen=True, slots=True)
class Kind:
    """How a rule speaks: values to facts, and facts to values that may give them.

    `fit` gets the facts wanted of each output layer (a `Ref` names the origin of the layer
    meant), the present values and every output layer's origin; it yields only what changes.
    """

    expand: Callable[[Values, int], Facts]
    fit: Callable[[Facts, Values, Sequence[Origin]], Iterator[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRule:
    """One row of what is known of rules.

    `what` names what the rule decides. `keys` are its keys with the value that the class
    takes where one is absent; dots lead into nested tables. `models` are the model types
    that the row speaks of; without any, it speaks of every model that has the first key and
    isn't known by another row. `overruled_by` is the list by layer that the class prefers,
    and accepts where the rule can't say it. `side` is a word of the stack's prefix, for rules
    of the encoder or the decoder alone. `inert` says that the rule decides nothing for an
    identity block: only how its parts compute what is zero. `stored` is the suffix of a tensor
    in which a layer holds by itself what the rule would give it. A null under a `nullable` key
    isn't the same as no key.
    """

    what: str
    keys: Mapping[str, Any]
    kind: Kind
    models: frozenset[str] = frozenset()
    overruled_by: str = ""
    side: str = ""
    inert: bool = False
    stored: str = ""
    nullable: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """What a message calls the rule: its first key, or the list that its class makes up; or nothing."""
        return next(iter(self.keys), self.overruled_by)

    def speaks_of(self, level: Mapping[str, Any], model_type: str, prefix: str) -> bool:
        """Whether the rule decides anything for a stack with this config and prefix."""
        if self.side not in prefix:
            return False
        if self.models:
            return model_type in self.models
        return look_up(level, next(iter(self.keys))) is not None

    def values(self, level: Mapping[str, Any]) -> dict[str, Any]:
        """Return the rule's values in a config; its class's where the config says nothing."""
        found = {key: look_up(level, key) for key in self.keys}
        nulls = {key for key in self.nullable if key in level}
        return {
            key: self.keys[key] if value is None and key not in nulls else value
            for key, value in found.items()
        }

    def facts(self, level: Mapping[str, Any], num_layers: int) -> Facts:
        """Return what each layer is: by the list if there is one, else by the rule.

        Raises:
            ArchitectureError: the values are none that the rule can have.
        """
        listed = look_up(level, self.overruled_by) if self.overruled_by else None
        if isinstance(listed, list) and len(listed) >= num_layers:
            return tuple(listed[:num_layers])
        values = self.values(level)
        facts = expanded(self.kind, values, num_layers)
        if facts is None:
            raise ArchitectureError(
                f"config.json: {brief(values)} doesn't say what the {self.what} of {num_layers} layers is",
                hint="Correct these keys, or leave them out.",
            )
        return facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """The first output layer that a rule can't give what its source layer had."""

    rule: LayerRule
    layer: int
    wanted: Any
    got: Any


def wanted_facts(facts: Mapping[int, Facts], origins: Sequence[Origin]) -> Facts:
    """Return what every output layer has to be, from the facts of each source's layers."""
    return tuple(_translated(facts[source][layer], source) for source, layer in origins)


def _translated(fact: Any, source: int) -> Any:
    if isinstance(fact, Ref) and isinstance(fact.layer, int):
        return Ref(fact.bond, (source, fact.layer))
    return fact


def fit_rule(
    rule: LayerRule, level: Mapping[str, Any], wanted: Facts, origins: Sequence[Origin]
) -> dict[str, Any] | Mismatch:
    """Return the changes to a config that make the rule give what is wanted, or where it fails.

    Values that are right as they are come first, so that nothing changes without need.
    """
    present = rule.values(level)
    first = first_difference(rule.kind, present, wanted, origins)
    if first is None:
        return {}
    for change in _proposals(rule.kind, present, wanted, origins):
        if first_difference(rule.kind, {**present, **change}, wanted, origins) is None:
            return {key: value for key, value in change.items() if value != present.get(key)}
    layer, got = first
    return Mismatch(rule=rule, layer=layer, wanted=wanted[layer], got=got)


def first_difference(
    kind: Kind, values: Values, wanted: Facts, origins: Sequence[Origin]
) -> tuple[int, Any] | None:
    """Return the first layer that isn't what is wanted and what it is instead, or nothing."""
    found = expanded(kind, values, len(wanted)) or (_UNREADABLE,) * len(wanted)
    for layer, (fact, want) in enumerate(zip(found, wanted, strict=True)):
        meant = isinstance(fact, Ref) and isinstance(fact.layer, int)
        got = Ref(fact.bond, origins[fact.layer]) if meant else fact
        if not _same(got, want):
            return layer, got
    return None


def expanded(kind: Kind, values: Values, num_layers: int) -> Facts | None:
    """Return what a rule makes of each layer; nothing where its values are none that it can have."""
    try:
        facts = kind.expand(values, num_layers)
    except _WRONG_VALUES:
        return None
    return facts if len(facts) == num_layers else None


def _proposals(
    kind: Kind, values: Values, wanted: Facts, origins: Sequence[Origin]
) -> Iterator[dict[str, Any]]:
    try:
        yield from kind.fit(wanted, values, origins)
    except _WRONG_VALUES:
        return


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-9)
    return bool(left == right)
