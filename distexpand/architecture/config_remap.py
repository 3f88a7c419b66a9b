"""Remap a config to the new layers: the count, and every list that has an entry per layer.

A stale per-layer list is the quietest way to break a model: it loads, and
layers run with another layer's kind. So every list as long as the stack, at
the config level that holds the count, follows its layers; keys that speak of
layers by a rule or by index and can't be remapped yet are reported.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distexpand.architecture.stack import COUNT_KEYS, LayerStack
from distexpand.errors import ArchitectureError
from distexpand.findings import Finding

_RULES_BY_LAYER = (
    "mlp_only_layers",
    "no_rope_layer_interval",
    "first_k_dense_replace",
    "decoder_sparse_step",
    "sliding_window_pattern",
    "attn_layer_period",
    "attn_layer_offset",
    "expert_layer_period",
    "expert_layer_offset",
    "full_attention_interval",
    "num_kv_shared_layers",
    "num_nextn_predict_layers",
    "hybrid_override_pattern",
    "moe_layer_freq",
    "cross_attention_layers",
    "attn_layers",
    "global_attn_every_n_layers",
)
"""Keys known to speak of layers by index, period or count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerConfig:
    """Where one output layer's per-layer values come from: a source's whole config and a layer of it."""

    config: Mapping[str, Any]
    stack: LayerStack
    layer: int
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemappedConfig:
    """The new config, the keys whose lists were remapped, and what couldn't be judged."""

    config: dict[str, Any]
    remapped: tuple[str, ...]
    findings: tuple[Finding, ...]


def config_level(config: Mapping[str, Any], stack: LayerStack) -> Mapping[str, Any]:
    """Return the level of the config that holds the stack's layer count."""
    level = config
    for key in stack.count_path[:-1]:
        level = level[key]
    return level


def remap_config(
    config: Mapping[str, Any], stack: LayerStack, layers: Sequence[LayerConfig]
) -> RemappedConfig:
    """Return the base model's config for the given output layers.

    Raises:
        ArchitectureError: a per-layer list of the base model has no counterpart in the
            config of another source.
    """
    result = copy.deepcopy(dict(config))
    level: dict[str, Any] = result
    for key in stack.count_path[:-1]:
        level = level[key]
    keys = per_layer_keys(level, stack)
    for key in keys:
        level[key] = [_value(key, layer) for layer in layers]
    for key in COUNT_KEYS:
        if level.get(key) == stack.num_layers:
            level[key] = len(layers)
    return RemappedConfig(config=result, remapped=keys, findings=tuple(_stale_rules(level)))


def per_layer_keys(level: Mapping[str, Any], stack: LayerStack) -> tuple[str, ...]:
    """Return the keys whose lists have one entry per layer."""
    return tuple(
        key
        for key, value in level.items()
        if isinstance(value, list) and len(value) == stack.num_layers and key != "architectures"
    )


def layer_kind(layer: LayerConfig) -> str:
    """Return the layer's type where the config tells types apart, else nothing."""
    kinds = config_level(layer.config, layer.stack).get("layer_types")
    if isinstance(kinds, list) and len(kinds) == layer.stack.num_layers:
        return str(kinds[layer.layer])
    return ""


def _value(key: str, layer: LayerConfig) -> Any:
    values = config_level(layer.config, layer.stack).get(key)
    if not isinstance(values, list) or len(values) != layer.stack.num_layers:
        raise ArchitectureError(
            f"{layer.origin}: config.json: {key!r} is per layer in the base model, but this source has no "
            f"list of {layer.stack.num_layers} entries under it",
            hint="Save the source again with a current transformers, which writes such lists out.",
        )
    return values[layer.layer]


def _stale_rules(level: Mapping[str, Any]) -> list[Finding]:
    return [
        Finding(
            code="config-rule",
            message=f"config.json: {key!r} = {level[key]!r} speaks of layers by a rule and is kept as it is",
            advice="Check that the rule gives every output layer the kind that its source layer had.",
        )
        for key in _RULES_BY_LAYER
        if level.get(key) not in (None, [], 0, "")
    ]
