"""Values of a config with an entry per layer: lists, texts and tables by index.

A stale per-layer list is the quietest way to break a model: it loads, and
layers run with another layer's kind. So everything as long as the stack, at
the config level that counts it, follows its layers; what isn't known by name is
reported. Rejected: a table of per-layer keys alone, stale with the next model.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from distexpand.architecture.layer_rules.paths import look_up
from distexpand.architecture.layer_rules.rule import LayerRule
from distexpand.architecture.stacks.counts import COUNT_KEYS

_NEVER_PER_LAYER = re.compile(
    r"^architectures$|(^|_)(token_)?ids?$|_tokens$|^(id2label|label2id)$|^_|"
    r"^(keys_to_ignore_at_inference|tags|languages?)$"
)
"""Names of lists and tables that are as long as the stack only by chance."""

_PER_LAYER_IN_TALL_STACKS = re.compile(
    r"_(section|limit|range|multipliers|factors?|size|sizes|strides|kernels|stages|features|betas|cycles)$"
)
"""Names of lists that are as long as the stack only by chance where that has a few layers."""

_FEW_LAYERS = 6

_KNOWN = re.compile(
    r"(^|_)(layers?|mlp|indexer|block|attention|attn)_.*types?$|^(layer|mlp_layer|indexer)_types$|^layers_block_type$|"
    r"_per_layer$|^per_layer_|^(no_rope|attention|attn)_layers$|^block_configs$|^layer_rope_theta$|"
    r"^activation_sparsity_pattern$|^hybrid_(override|layer)_pattern$|^index_topk_pattern$|^compress_ratios$|"
    r"^swiglu_limits(_shared)?$|^rope_theta$|^partial_rotary_factors$|^attention_window$|^sliding_windows?$|"
    r"^moe_layer_freq$|^moe_topk$|^num_(experts|shared_expert|kv_heads|query_heads)$|^(moe_)?intermediate_sizes?$|"
    r"^ffn_(multipliers|intermediate_sizes?)$|sparse_attention_freq$"
)
"""Names of values known to be per layer; others are reported when they are taken for it."""

_OF_LAYERS_BEYOND = re.compile(r"mtp|nextn")
_BY_INDEX = re.compile(r"layer|block|pruned_heads")
_INDEX = re.compile(r"[0-9]{1,9}")
_TEXT_PATTERNS = re.compile(r"_pattern$")

ALSO_LISTS = frozenset(
    {"layer_types", "layers_block_type", "indexer_types", "compress_ratios", "moe_layer_freq", "num_experts"}
)
"""Lists by layer that rules read, beside those that overrule one."""


def by_layer(level: Mapping[str, Any], num_layers: int, rules: Sequence[LayerRule]) -> tuple[str, ...]:
    """Return the paths of a config level whose values have an entry per layer.

    Args:
        level: the level of the config that counts the stack.
        num_layers: how many layers that is.
        rules: the rules that speak of the stack; their indices aren't entries.
    """
    lists = ALSO_LISTS | {rule.overruled_by for rule in rules}
    indices = {key for rule in rules for key in rule.keys} - lists
    every = set(every_layer(level, num_layers))
    return tuple(
        path
        for path, value in _values(level)
        if path not in indices and path not in every and _has_entries(path, value, level, num_layers)
    )


def every_layer(level: Mapping[str, Any], num_layers: int) -> tuple[str, ...]:
    """Return the keys whose lists name every layer by its index, such as `moe_layers`."""
    every = list(range(num_layers))
    return tuple(
        key
        for key, value in level.items()
        if value == every
        and num_layers > 1
        and all(type(index) is int for index in value)
        and not _NEVER_PER_LAYER.search(key)
    )


def is_known(path: str) -> bool:
    """Whether a value is known to be per layer by its name."""
    return _KNOWN.search(path.rpartition(".")[2]) is not None


def entry(value: Any, layer: int, num_layers: int) -> Any:
    """Return a layer's entry, or `MISSING` where there is none.

    Raises:
        LookupError: the value isn't by layer for this many layers.
    """
    if isinstance(value, Mapping):
        return next((inner for key, inner in value.items() if _is_index(key) and int(key) == layer), MISSING)
    if isinstance(value, list | str) and len(value) >= num_layers:
        return value[layer]
    raise LookupError


class _Missing:
    """The entry of a layer that a table by index doesn't name."""


MISSING = _Missing()


def collect(old: Any, entries: Sequence[Any], num_layers: int) -> Any:
    """Return a value with new entries; those of layers beyond the count stay behind them."""
    if isinstance(old, Mapping):
        named = [index for index, value in enumerate(entries) if value is not MISSING]
        padded = any(len(str(key)) > 1 and str(key).startswith("0") for key in old)
        width = len(str(named[-1])) if padded and named else 0
        return {str(index).zfill(width): entries[index] for index in named}
    if isinstance(old, str):
        return "".join(map(str, entries)) + old[num_layers:]
    return [*entries, *old[num_layers:]]


def _values(level: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in level.items():
        yield key, value
        if isinstance(value, Mapping) and "sparse_attention_config" in key:
            for inner, nested in value.items():
                yield f"{key}.{inner}", nested


def _has_entries(path: str, value: Any, level: Mapping[str, Any], num_layers: int) -> bool:
    name = path.rpartition(".")[2]
    if _NEVER_PER_LAYER.search(name) or _OF_LAYERS_BEYOND.search(name):
        return False
    if isinstance(value, Mapping):
        return name == "per_layer_config" or (
            _BY_INDEX.search(name) is not None and _indexed(value, num_layers)
        )
    if isinstance(value, str):
        return len(value) == num_layers and _TEXT_PATTERNS.search(name) is not None
    if not isinstance(value, list):
        return False
    if len(value) == num_layers:
        return num_layers > _FEW_LAYERS or is_known(name) or not _PER_LAYER_IN_TALL_STACKS.search(name)
    # longer ones have entries of layers beyond the count, or of layers that were cut off; unless they are
    # another stack's
    counts_another = any(look_up(level, key) == len(value) for key in COUNT_KEYS)
    return is_known(name) and len(value) > num_layers and not counts_another


def _indexed(value: Mapping[Any, Any], num_layers: int) -> bool:
    return bool(value) and all(_is_index(key) and int(key) < num_layers for key in value)


def _is_index(key: Any) -> bool:
    return _INDEX.fullmatch(str(key)) is not None
