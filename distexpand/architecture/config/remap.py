"""Remap a config to the new layers: the count, lists by layer, rules, and names of layers in texts.

Each has a module of its own (`lists`, `layer_rules`, `names`);
here they are put together. A rule that can't give every output layer what its
source layer had is refused, with the orders near by that it can.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from distexpand.architecture.config.foreign import refuse_foreign_lists
from distexpand.architecture.config.halved import report_halving
from distexpand.architecture.config.lists import by_layer, collect, entry, every_layer
from distexpand.architecture.config.names import follow_names, layer_names
from distexpand.architecture.config.references import follow_targets, report_places
from distexpand.architecture.config.sources import (
    LayerConfig,
    Sources,
    config_level,
    find_sources,
    layers_of,
)
from distexpand.architecture.config.unknown import follow_indices, report_lists
from distexpand.architecture.layer_rules.fit import Layers, fit_rules
from distexpand.architecture.layer_rules.nearby import nearby_orders
from distexpand.architecture.layer_rules.paths import look_up, put
from distexpand.architecture.layer_rules.rule import Mismatch, Origin
from distexpand.architecture.stacks.blocks import in_blocks
from distexpand.architecture.stacks.stack import LayerStack
from distexpand.errors import ArchitectureError
from distexpand.findings import Finding

__all__ = ["LayerConfig", "RemappedConfig", "config_level", "layer_kind", "per_layer_keys", "remap_config"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemappedConfig:
    """The new config, the keys whose values were remapped, and what couldn't be judged."""

    config: dict[str, Any]
    remapped: tuple[str, ...]
    findings: tuple[Finding, ...]


def remap_config(
    config: Mapping[str, Any], stack: LayerStack, layers: Sequence[LayerConfig]
) -> RemappedConfig:
    """Return the base model's config for the given output layers.

    Raises:
        ArchitectureError: a rule of the config can't express the new order, or a per-layer
            value of the base model has no counterpart in the config of another source.
    """
    sources = find_sources(config, stack, layers)
    rules = sources.rules()
    names = layer_names(stack.prefix, sources.origins)
    result, named = follow_names(sources.configs, names)
    level = _inner(result, stack)
    keys = by_layer(sources.base.level, stack.num_layers, rules)
    refuse_foreign_lists(sources, keys, rules)
    lists = _lists(keys, sources, sources.origins)
    fitted = _rules(lists, sources, sources.origins)
    if isinstance(fitted, Mismatch):
        raise _inexpressible(fitted, sources, keys)
    known = {*lists, *fitted, *(key for rule in rules for key in rule.keys)}
    targets = follow_targets(config, stack, sources.origins)
    guessed, findings = follow_indices(sources.levels, known, stack.num_layers, sources.origins)
    for path, value in {**guessed, **lists, **fitted}.items():
        put(level, path, in_blocks(path, look_up(level, path), value, stack.num_layers, stack.blocks))
    result |= targets
    _set_counts(result, stack, len(layers))
    findings += report_places(config, stack, sources.origins)
    return RemappedConfig(
        config=result,
        remapped=tuple(dict.fromkeys((*keys, *fitted, *guessed, *targets, *named))),
        findings=(*report_lists(keys), *findings, *report_halving(sources), *names.findings),
    )


def per_layer_keys(level: Mapping[str, Any], stack: LayerStack) -> tuple[str, ...]:
    """Return the keys whose values have one entry per layer."""
    layers = layers_of(level, replace(stack, count_path=stack.count_path[-1:]))
    return by_layer(level, stack.num_layers, layers.rules())


def layer_kind(layer: LayerConfig) -> str:
    """Return the layer's type where the config tells types apart, else nothing."""
    level = config_level(layer.config, layer.stack)
    for key in ("layer_types", "layers_block_type"):
        kinds = level.get(key)
        if isinstance(kinds, list) and len(kinds) >= layer.stack.num_layers:
            return str(kinds[layer.layer])
    return ""


def _lists(keys: Sequence[str], sources: Sources, origins: Sequence[Origin]) -> dict[str, Any]:
    """Return the new values of everything that has an entry per layer."""
    base = sources.base
    changes: dict[str, Any] = {
        key: list(range(len(origins))) for key in every_layer(base.level, base.num_layers)
    }
    for key in keys:
        entries = [
            _entry(key, sources.completed[source], sources.names[source], layer) for source, layer in origins
        ]
        changes[key] = collect(look_up(base.level, key), entries, base.num_layers)
    return changes


def _entry(key: str, source: Layers, name: str, layer: int) -> Any:
    try:
        return entry(look_up(source.level, key), layer, source.num_layers)
    except LookupError:
        raise ArchitectureError(
            f"{name}: {key!r} is per layer in the base model, but this source has no "
            f"list of {source.num_layers} entries under it",
            hint="Save the source again with a current transformers, which writes such lists out.",
        ) from None


def _rules(
    lists: Mapping[str, Any], sources: Sources, origins: Sequence[Origin]
) -> dict[str, Any] | Mismatch:
    """Return what rules have to be changed to, given the new lists, or the first that fails."""
    level: dict[str, Any] = {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in sources.base.level.items()
    }
    for path, value in lists.items():
        put(level, path, value)
    identities = sources.identities if origins == sources.origins else ()
    tensors = sources.tensors if origins == sources.origins else ()
    return fit_rules(
        level, sources.completed, origins, sources.rules(), identities=identities, tensors=tensors
    )


def _inexpressible(failed: Mismatch, sources: Sources, keys: Sequence[str]) -> ArchitectureError:
    def works(origins: Sequence[Origin]) -> bool:
        return not isinstance(_rules(_lists(keys, sources, origins), sources, origins), Mismatch)

    source, layer = sources.origins[failed.layer]
    counts = {number: layers.num_layers for number, layers in sources.completed.items()}
    subject = repr(failed.rule.name) if failed.rule.name else f"a model of type {sources.base.model_type!r}"
    near = "; or ".join(nearby_orders(sources.origins, counts, works))
    return ArchitectureError(
        f"{sources.names[source]}: {subject} can't express the new order of layers: output layer "
        f"{failed.layer} is a copy of layer {layer}, whose {failed.rule.what} is {str(failed.wanted)!r}, "
        f"but in its new place it would be {str(failed.got)!r}",
        hint=f"Layer ranges near by that work: {near}." if near else "No order near this one works either.",
    )


def _inner(config: dict[str, Any], stack: LayerStack) -> dict[str, Any]:
    level = config
    for key in stack.count_path[:-1]:
        level = level[key]
    return level


def _set_counts(config: dict[str, Any], stack: LayerStack, count: int) -> None:
    for path in stack.count_paths:
        if type(look_up(config, ".".join(path))) is int:
            put(config, ".".join(path), count * stack.blocks)
