"""PEFT's `adapter_config.json`: what of it decides the numbers of a LoRA adapter, the rest known by name.

Ranks and scales follow PEFT's own rules (`get_pattern_key`): the first pattern that matches the
module's whole name, or its last parts, wins. A key that changes what the adapter computes in a way
that isn't a sum of weight and delta is refused, and so is one that this version doesn't know, unless it is
unset: a result that leaves out half of an adapter would look right and be wrong.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from distexpand.recipe.located import Located, child, describe, integer, items, layer_range, number

Value = TypeVar("Value")

LORA = "LORA"

_USED = frozenset(
    {
        "peft_type",
        "r",
        "lora_alpha",
        "rank_pattern",
        "alpha_pattern",
        "use_rslora",
        "use_dora",
        "fan_in_fan_out",
        "layer_replication",
        "init_lora_weights",
        "base_model_name_or_path",
        "revision",
    }
)
_MEANINGLESS_NOW = frozenset(
    {
        # which modules were trained: the tensors tell
        "target_modules",
        "exclude_modules",
        "layers_to_transform",
        "layers_pattern",
        "modules_to_save",
        "bias",
        "lora_bias",
        # training and loading
        "auto_mapping",
        "corda_config",
        "ephemeral_gpu_offload",
        "eva_config",
        "inference_mode",
        "loftq_config",
        "lora_dropout",
        "lora_ga_config",
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "runtime_config",
        "task_type",
        # embeddings and head: whether they are tied, and with what, is the model's matter here
        "ensure_weight_tying",
    }
)
_REFUSED = {
    "target_parameters": "it adapts single parameters, such as all experts of a layer in one tensor",
    "trainable_token_indices": "it replaces single rows of the embeddings",
    "alora_invocation_tokens": "the adapter works from a certain token on only",
    "arrow_config": "several adapters are chosen from for every token",
    "use_bdlora": "its matrices are block-diagonal",
    "kasa_config": "it truncates the model's weights before it is trained",
    "monteclora_config": "its deltas are drawn at random",
    "velora_config": "it keeps more than two matrices for each module",
    "use_qalora": "it pools the inputs of quantised layers",
    "megatron_config": "it is for layers of Megatron",
}
_PLAIN_INITS = frozenset({"gaussian", "eva", "orthogonal", "mica"})
_CONVERTIBLE = ("pissa", "olora", "corda", "lora_ga")
_CONVERT = (
    "Load it with PEFT and save it again with path_initial_model_for_weight_conversion, "
    "which makes a plain LoRA of it."
)
_MAX_RANK = 1_000_000
_MAX_LAYERS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """What decides an adapter's numbers.

    Patterns are regular expressions with their value, in the file's order. `layer_replication`
    are the ranges of the base model's layers that the adapter was trained on, one after the
    other; `None` for the model as it is. `fan_in_fan_out` says that matrices are stored as
    (inputs, outputs).
    """

    rank: int
    alpha: float
    rank_pattern: tuple[tuple[str, int], ...] = ()
    alpha_pattern: tuple[tuple[str, float], ...] = ()
    rslora: bool = False
    dora: bool = False
    fan_in_fan_out: bool = False
    layer_replication: tuple[tuple[int, int], ...] | None = None

    def rank_of(self, module: str) -> int:
        """Return the rank of a module's adapter."""
        return _first_match(self.rank_pattern, module, self.rank)

    def scaling_of(self, module: str) -> float:
        """Return what the product of a module's matrices is multiplied by."""
        alpha, rank = _first_match(self.alpha_pattern, module, self.alpha), self.rank_of(module)
        return alpha / math.sqrt(rank) if self.rslora else alpha / rank

    def base_layers(self) -> tuple[int, ...] | None:
        """Return the base model's layer behind each of the adapter's; `None` if it has the same layers."""
        if self.layer_replication is None:
            return None
        return tuple(layer for start, end in self.layer_replication for layer in range(start, end))


def _first_match(patterns: tuple[tuple[str, Value], ...], module: str, default: Value) -> Value:
    return next((value for pattern, value in patterns if re.match(_whole(pattern), module)), default)


def _whole(pattern: str) -> str:
    """Return the expression by which PEFT matches a pattern against a module's name."""
    return rf"(.*\.)?({pattern})$"


def parse_lora_settings(data: Mapping[str, object], *, origin: str) -> LoraSettings:
    """Read an adapter's config.

    Raises:
        RecipeError: another kind of adapter, or one that isn't a sum of weights and deltas.
    """
    root = Located(value=data, path="", origin=origin)
    _check_kind(root, data)
    return LoraSettings(
        rank=_rank(child(root, "r", data.get("r"))),
        alpha=number(child(root, "lora_alpha", data.get("lora_alpha"))),
        rank_pattern=tuple((key, _rank(value)) for key, value in _patterns(root, data, "rank_pattern")),
        alpha_pattern=tuple((key, number(value)) for key, value in _patterns(root, data, "alpha_pattern")),
        rslora=_flag(root, data, "use_rslora"),
        dora=_flag(root, data, "use_dora"),
        fan_in_fan_out=_flag(root, data, "fan_in_fan_out"),
        layer_replication=_replication(child(root, "layer_replication", data.get("layer_replication"))),
    )


def _check_kind(root: Located, data: Mapping[str, object]) -> None:
    kind = child(root, "peft_type", data.get("peft_type"))
    if kind.value != LORA:
        raise kind.error(f"found {describe(kind.value)}; only LORA adapters can be merged into their model")
    for key, value in data.items():
        if not value or key in _USED or key in _MEANINGLESS_NOW:
            continue
        place = child(root, key, value)
        if key in _REFUSED:
            raise place.error(f"`{key}` is not supported: {_REFUSED[key]}")
        raise place.error(
            f"unknown key with the value {describe(value)}; it may change what the adapter computes",
            hint="If it doesn't, remove it from the file.",
        )
    _check_initial(child(root, "init_lora_weights", data.get("init_lora_weights")))


def _check_initial(place: Located) -> None:
    """Refuse ways of initialising that change the model's own weights, for which the adapter is then made."""
    if place.value is None or isinstance(place.value, bool) or place.value in _PLAIN_INITS:
        return
    raise place.error(
        f"found {describe(place.value)}, which changes the model's weights before training, "
        "so that the adapter doesn't belong to the model as it is",
        hint=_CONVERT if str(place.value).lower().startswith(_CONVERTIBLE) else "",
    )


def _rank(place: Located) -> int:
    rank = integer(place, "a whole number of at least 1", minimum=1)
    if rank > _MAX_RANK:
        raise place.wrong(f"at most {_MAX_RANK:,}")
    return rank


def _patterns(root: Located, data: Mapping[str, object], key: str) -> list[tuple[str, Located]]:
    place = child(root, key, data.get(key))
    if place.value is None:
        return []
    if not isinstance(place.value, dict):
        raise place.wrong("a mapping from names of modules to numbers")
    found = [(pattern, child(place, str(pattern), value)) for pattern, value in place.value.items()]
    for pattern, named in found:
        try:
            re.compile(_whole(pattern))
        except re.error as error:
            raise named.error(f"not a regular expression: {error}") from None
    return found


def _flag(root: Located, data: Mapping[str, object], key: str) -> bool:
    place = child(root, key, data.get(key, False))
    if place.value is None or isinstance(place.value, bool):
        return bool(place.value)
    raise place.wrong("true or false")


def _replication(place: Located) -> tuple[tuple[int, int], ...] | None:
    if place.value is None or place.value == []:
        return None
    ranges = tuple(layer_range(item) for item in items(place, "a list of [start, end], each end exclusive"))
    for start, end in ranges:
        if not 0 <= start < end:
            raise place.error(f"found [{start}, {end}]; expected ranges of at least one layer")
    if sum(end - start for start, end in ranges) > _MAX_LAYERS:
        raise place.error(f"it gives more than {_MAX_LAYERS:,} layers")
    return ranges
