"""Remap a config to the new layers: the count, and every list that has an entry per layer.

A stale per-layer list is the quietest way to break a model: it loads, and
layers run with another layer's kind. So every list as long as the stack, at
the config level that holds the count, follows its layers; keys that speak of
layers by a rule or by index and can't be remapped yet are reported. Rejected:
a table of per-layer keys, which would be stale with the next model.
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distexpand.architecture.stack import COUNT_KEYS, LayerStack
from distexpand.errors import ArchitectureError
from distexpand.findings import Finding
from distexpand.formats.json_text import brief

_RULES_BY_LAYER = {
    "attention_types": "",
    "attn_layer_indices": "",
    "attn_layer_offset": "",
    "attn_layer_period": "",
    "attn_layers": "",
    "cross_attention_layers": "",
    "decoder_sparse_step": "",
    "expert_layer_offset": "",
    "expert_layer_period": "",
    "first_k_dense_replace": "",
    "full_attention_interval": "layer_types",
    "full_attn_idxs": "layer_types",
    "global_attn_every_n_layers": "layer_types",
    "hybrid_override_pattern": "layers_block_type",
    "interleave_moe_layer_step": "",
    "max_window_layers": "layer_types",
    "mlp_only_layers": "",
    "moe_layer_freq": "",
    "moe_layers": "",
    "no_rope_layer_interval": "no_rope_layers",
    "num_kv_shared_layers": "",
    "num_nextn_predict_layers": "",
    "scale_attn_by_inverse_layer_idx": "",
    "sliding_window_pattern": "layer_types",
}
"""Keys known to speak of layers by index, period or count, and the list that overrules each."""

_RULE_SWITCHES = {"max_window_layers": "use_sliding_window"}
"""Rules that count only where another key is on."""

_HARMLESS_RULES = {"decoder_sparse_step": 1, "moe_layer_freq": 1}
"""Values by which a rule treats every layer alike."""

_INDEXED_MODELS = frozenset({"beam", "diffllama"})
"""Models whose layers compute with their own index, so that a layer in another place is another layer."""

_NEVER_PER_LAYER = re.compile(r"^architectures$|(^|_)(token_)?ids?$|_tokens$")
"""Names of lists that are as long as the stack only by chance."""

_PER_LAYER_IN_TALL_STACKS = re.compile(
    r"_(section|limit|range|multipliers|factors?|sizes|strides|kernels|stages|features|betas)$"
)
"""Names of lists that are as long as the stack only by chance where that has a few layers."""

_FEW_LAYERS = 6

_SPEAKS_OF_LAYERS = re.compile(r"layers?_.*(ids|idxs?|ind(ic|ex)es)$|^block_types$|_pattern$")
"""Names of keys that speak of layers by index or pattern, in models that the table above doesn't know."""


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
    if any(layer.layer != index for index, layer in enumerate(layers)) or len(layers) != stack.num_layers:
        _refuse_inexpressible(config_level(config, stack))
    result = copy.deepcopy(dict(config))
    levels = [result]
    for key in stack.count_path[:-1]:
        levels.append(levels[-1][key])
    level = levels[-1]
    keys = per_layer_keys(level, stack)
    findings = (
        *_stale_rules(level, keys),
        *_unknown_rules(level, keys),
        *_layer_names(config, stack),
        *_indexed_layers(level),
    )
    for key in keys:
        level[key] = [_value(key, layer) for layer in layers]
    for key in _every_layer_keys(level, stack):
        level[key] = list(range(len(layers)))
    for outer in levels:
        for key in COUNT_KEYS:
            if outer.get(key) == stack.num_layers:
                outer[key] = len(layers)
    return RemappedConfig(config=result, remapped=keys, findings=findings)


def per_layer_keys(level: Mapping[str, Any], stack: LayerStack) -> tuple[str, ...]:
    """Return the keys whose lists have one entry per layer."""
    indices = _every_layer_keys(level, stack)
    return tuple(
        key
        for key, value in level.items()
        if isinstance(value, list)
        and len(value) == stack.num_layers
        and key not in indices
        and not _is_long_by_chance(key, stack.num_layers)
    )


def _is_long_by_chance(key: str, num_layers: int) -> bool:
    if _NEVER_PER_LAYER.search(key):
        return True
    return num_layers <= _FEW_LAYERS and _PER_LAYER_IN_TALL_STACKS.search(key) is not None


def _every_layer_keys(level: Mapping[str, Any], stack: LayerStack) -> tuple[str, ...]:
    """Return the keys whose lists name every layer by its index, such as `moe_layers`."""
    every = list(range(stack.num_layers))
    return tuple(
        key
        for key, value in level.items()
        if value == every and stack.num_layers > 1 and all(type(index) is int for index in value)
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


def _refuse_inexpressible(level: Mapping[str, Any]) -> None:
    if level.get("hidden_size_per_layer_input"):
        raise ArchitectureError(
            "config.json: 'hidden_size_per_layer_input': one tensor holds embeddings for every layer, "
            "and cutting that tensor by layers isn't supported"
        )


def _stale_rules(level: Mapping[str, Any], remapped: Sequence[str]) -> list[Finding]:
    return [
        Finding(
            code="config-rule",
            message=f"config.json: {key!r} = {level[key]!r} speaks of layers by a rule and is kept as it is",
            advice="Check that the rule gives every output layer the kind that its source layer had.",
        )
        for key, overruled_by in _RULES_BY_LAYER.items()
        if level.get(key) not in (None, [], 0, "", _HARMLESS_RULES.get(key))
        and key not in remapped
        and overruled_by not in remapped
        and level.get(_RULE_SWITCHES.get(key, key))
    ]


def _unknown_rules(level: Mapping[str, Any], remapped: Sequence[str]) -> list[Finding]:
    return [
        Finding(
            code="config-rule",
            message=f"config.json: {key!r} = {brief(value)} may speak of layers and is kept as it is",
            advice="Check that it is right for the new order of layers.",
        )
        for key, value in level.items()
        if _SPEAKS_OF_LAYERS.search(key)
        and value not in (None, [], "", 0)
        and key not in remapped
        and key not in _RULES_BY_LAYER
    ]


def _layer_names(config: Mapping[str, Any], stack: LayerStack) -> list[Finding]:
    """Report values that name tensors of single layers, such as `modules_to_not_convert`."""
    named = re.compile(re.escape(stack.prefix) + r"\d")
    found: dict[str, str] = {}
    for path, text in _texts(config, ""):
        if named.search(text):
            found.setdefault(path, text)
    return [
        Finding(
            code="config-rule",
            message=f"config.json: {path!r} names layers by their old numbers ({brief(text)}) and is kept",
            advice="Check that it is right for the new order of layers.",
        )
        for path, text in sorted(found.items())
    ]


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield every text of a config, names of keys included, with the keys that lead to it."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            inside = f"{path}.{key}" if path else str(key)
            yield inside, str(key)
            yield from _texts(inner, inside)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, path)


def _indexed_layers(level: Mapping[str, Any]) -> list[Finding]:
    if level.get("model_type") not in _INDEXED_MODELS:
        return []
    return [
        Finding(
            code="config-rule",
            message=f"config.json: layers of a {level['model_type']!r} model compute with their own index",
            advice="A layer that stands elsewhere answers differently; no config can express the old index.",
        )
    ]
