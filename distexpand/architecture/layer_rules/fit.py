"""Fit every rule of a config to the new order of layers, one after another.

Rules may read what earlier ones decide: sharing of keys and values depends on
the layers' types. So a config is completed first: lists that its class makes up
are filled in, for the sources to learn what their layers are, and for the
output to learn what the class will make of it. Only what differs is written.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distexpand.architecture.layer_rules.paths import look_up, put
from distexpand.architecture.layer_rules.read_layers import refuse_read_identities
from distexpand.architecture.layer_rules.rule import LayerRule, Mismatch, Origin, fit_rule, wanted_facts
from distexpand.architecture.layer_rules.table import rules_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """A source's layers as its config describes them: the level that counts them, and their number."""

    level: Mapping[str, Any]
    model_type: str
    prefix: str
    num_layers: int

    def rules(self) -> tuple[LayerRule, ...]:
        """Return the rules that speak of these layers."""
        return tuple(rules_of(self.level, self.model_type, self.prefix))


def completed(layers: Layers) -> Layers:
    """Return the layers with every list that their class makes up filled in."""
    level = dict(layers.level)
    for rule in layers.rules():
        if rule.models and rule.overruled_by and not _lists(level, rule, layers.num_layers):
            level[rule.overruled_by] = list(rule.facts(level, layers.num_layers))
    return Layers(
        level=level, model_type=layers.model_type, prefix=layers.prefix, num_layers=layers.num_layers
    )


def fit_rules(
    new: Mapping[str, Any],
    sources: Mapping[int, Layers],
    origins: Sequence[Origin],
    rules: Sequence[LayerRule],
    *,
    identities: Collection[int] = (),
    tensors: Sequence[Collection[str]] = (),
) -> dict[str, Any] | Mismatch:
    """Return what to change in the output's config level, by path, or the first rule that fails.

    Args:
        new: the base's level with its lists remapped already.
        sources: the completed layers of each source.
        origins: where every output layer comes from.
        rules: the rules of the base's layers.
        identities: output layers that are identity blocks.
        tensors: the suffixes of every output layer's tensors, if they are known.

    Raises:
        ArchitectureError: a layer would read what an identity block has computed.
    """
    level = {key: dict(value) if isinstance(value, dict) else value for key, value in new.items()}
    changes: dict[str, Any] = {}
    for rule in rules:
        facts = {number: rule.facts(source.level, source.num_layers) for number, source in sources.items()}
        wanted = wanted_facts(facts, origins)
        free = {i for i, names in enumerate(tensors) if rule.stored and rule.stored in names}
        free.update(identities if rule.inert else ())
        if free:
            given = rule.facts(level, len(origins))
            wanted = tuple(given[i] if i in free else fact for i, fact in enumerate(wanted))
        listed = _lists(new, rule, len(origins))
        found = fit_rule(rule, level, wanted, origins)
        if isinstance(found, Mismatch):
            if listed:
                continue
            if not (rule.models and rule.overruled_by):
                return found
            found = {rule.overruled_by: list(wanted)}
        changes |= found
        for path, value in found.items():
            put(level, path, value)
        if rule.models and rule.overruled_by and not listed:
            level[rule.overruled_by] = list(wanted)
    refuse_read_identities(rules, level, origins, identities)
    return changes


def _lists(level: Mapping[str, Any], rule: LayerRule, num_layers: int) -> bool:
    """Whether a config lists what the rule would decide; an empty list, as Llama 4 has, is none."""
    listed = look_up(level, rule.overruled_by) if rule.overruled_by else None
    return listed is not None and not (isinstance(listed, list) and len(listed) < num_layers)
