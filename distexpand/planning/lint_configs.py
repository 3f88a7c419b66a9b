"""Config values by which a source's layers computed, and the output's won't: it has the base model's.

Every plain value of the stack's config level is compared but those of a list
(`_NOT_OF_LAYERS`). Rejected: a list of the keys that count, which misses those
of the next model and says nothing; a key too many here is told once more than
needed. What follows the layers is left to the remapping, which says or refuses
by itself. A key that only one config has is compared where all classes take
the same value without it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from distexpand.architecture.config.remap import per_layer_keys
from distexpand.architecture.config.sources import layers_of
from distexpand.architecture.stacks.counts import COUNT_KEYS
from distexpand.findings import Finding
from distexpand.formats.json_text import brief
from distexpand.planning.sources import SourceModel

_ABSENT = {"attention_bias": False, "clip_qkv": None, "mlp_bias": False, "rope_interleave": True}
"""Keys with the value that classes take for them where they are absent."""

_DERIVED = frozenset({"head_dim", "kv_channels", "n_inner", "num_key_value_heads", "num_kv_heads"})
"""Keys whose null means that the class works the value out from other sizes."""

_ROPE_THETA = 10_000.0
_ROPE_KEYS = frozenset({"rope_parameters", "rope_scaling", "rope_theta"})

_LENGTH, _BY_LENGTH = "max_position_embeddings", ("dynamic", "longrope", "su")
"""The key by which these kinds of scaling compute, and they alone."""

_WINDOW, _WINDOW_SWITCH = "sliding_window", "use_sliding_window"

_NOT_OF_LAYERS = re.compile(
    r"^_|"
    # vocabulary and tokens
    r"vocab|_token_(index|offset)$|_id$|(^|_)(unk|mask)_index$|"
    # training: what is dropped, drawn, weighed or saved
    r"drop(out|_?path|_?prob)?(_|$)|layerdrop|pdrop|(^|_)init(ializer)?(_|$)|jitter|aux_loss|z_loss|loss_|_loss$|"
    r"gradient_checkpointing|label|router_logits$|mask_(time|feature)|"
    # names, versions, formats
    r"^(model_type|torchscript|task|tags?|license|author|created|date|seed)$|name|path$|version|commit|revision|"
    r"unsloth|dtype|template|tokenizer|"
    # how long inputs may be
    r"^max_(?!window)|^n_(positions|ctx)$|^(model|seq)_(max_)?length$|"
    # how it is run, generates and answers
    r"use_cache|^output_(attentions|hidden_states)|^return_|pretraining_tp|attn_implementation|flash|"
    r"^use_mamba(_kernels|py)$|^(chunkwise|sequence|step)_kernel$|use_mem_eff|^min_(new_)?(length|tokens)$|^(do_sample|early_stopping|num_beams|num_beam_groups|"
    r"num_return_sequences|temperature|top_p|typical_p|length_penalty|repetition_penalty|diversity_penalty|"
    r"no_repeat_ngram_size|encoder_no_repeat_ngram_size|num_logits_to_keep|chunk_size_feed_forward|prefix)$|"
    r"^(problem_type|finetuning_task)$|^(summary|classifier|start_n|end_n)_|"
    # towers and layers behind the stack
    r"(^|_)(vision|image|video|audio|speech|projector|mtp|nextn)(_|$)"
)
"""Names of keys that say nothing of how layers compute; layers' counts are among `COUNT_KEYS`."""

_NOTHING = object()


def lint_configs(base: SourceModel, model: SourceModel) -> Iterator[Finding]:
    """Yield a finding for every value of a source's config that differs from the base model's."""
    ours, theirs = _telling_values(base), _telling_values(model)
    followed = _followed(base) | _followed(model)
    for key in dict.fromkeys([*ours, *theirs]):
        left, right = (values.get(key, _ABSENT.get(key, _NOTHING)) for values in (ours, theirs))
        if key not in followed and left is not _NOTHING and right is not _NOTHING and not _same(left, right):
            yield Finding(
                code="configs-differ",
                message=f"{model.model}: config key {key!r} is {brief(right)}, "
                f"but {brief(left)} in the base model {base.model}, whose value the output gets",
            )


def _same(left: Any, right: Any) -> bool:
    """Whether two values say the same; null, false and 0 all switch something off."""
    return (left or None) == (right or None)


def _followed(model: SourceModel) -> set[str]:
    """Return the keys that the remapping makes follow the layers."""
    rules = layers_of(model.config, model.stack).rules()
    keys = {key for rule in rules for key in (*rule.keys, rule.overruled_by)} - {_WINDOW, _WINDOW_SWITCH}
    counts = {path[-1] for path in model.stack.count_paths}
    return {*COUNT_KEYS, *keys, *counts, *per_layer_keys(model.stack_config, model.stack)}


def _telling_values(model: SourceModel) -> dict[str, Any]:
    level = model.stack_config
    values = {key: value for key, value in level.items() if _tells(key, value)}
    if level.get(_WINDOW_SWITCH) is False:
        values.pop(_WINDOW, None)
    theta, scaling = _rope(level)
    if scaling.get("rope_type") in _BY_LENGTH:
        values[_LENGTH] = level.get(_LENGTH)
    return {**values, "rope_theta": theta, "rope_scaling": scaling}


def _tells(key: str, value: Any) -> bool:
    if key in _ROPE_KEYS or _NOT_OF_LAYERS.search(key):
        return False
    if value is None:
        return key not in _DERIVED
    return isinstance(value, bool | int | float | str)


def _rope(level: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
    """Return base and scaling of the rotary embedding, from the older keys or the newer one."""
    tables = (level.get(key) for key in ("rope_scaling", "rope_parameters"))
    scaling = {name: value for table in tables if isinstance(table, Mapping) for name, value in table.items()}
    theta = scaling.pop("rope_theta", level.get("rope_theta")) or _ROPE_THETA
    kind = scaling.pop("rope_type", scaling.pop("type", "default"))
    scaling.pop("type", None)
    return theta, scaling if kind == "default" else {**scaling, "rope_type": kind}
