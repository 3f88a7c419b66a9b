"""The recipe that merges an adapter into its model, or into copies of layers with `layer_replication`.

Written as text like any recipe, so that there is one way from a recipe to an output, and so that
it can be kept, changed and run elsewhere.
"""

import yaml

from distexpand.recipe.canonical import MergeMethod, ModelRef
from distexpand.recipe.lora_settings import LoraSettings
from distexpand.recipe.model_reference import plain_model


def adapter_recipe(
    model: ModelRef,
    adapter: ModelRef,
    settings: LoraSettings,
    *,
    tokenizer: ModelRef,
    out_dtype: str | None = None,
) -> str:
    """Return the recipe's text.

    Args:
        model: that the adapter was trained on.
        adapter: to be merged.
        settings: of the adapter.
        tokenizer: the model or adapter whose tokenizer the output gets.
        out_dtype: torch's name of what is stored; nothing for what the model has.
    """
    named = plain_model(model, adapter)
    content: dict[str, object] = {"merge_method": MergeMethod.PASSTHROUGH.value}
    if settings.layer_replication is None:
        content["models"] = [{"model": named}]
    else:
        content["slices"] = _slices(named, settings.layer_replication)
    if tokenizer != model:
        content["tokenizer_source"] = plain_model(tokenizer)
    if out_dtype is not None:
        content["out_dtype"] = out_dtype
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)


def _slices(named: object, ranges: tuple[tuple[int, int], ...]) -> list[object]:
    """Return a slice for each range; the adapter numbers its layers from the first range to the last."""
    slices: list[object] = []
    done = 0
    for start, end in ranges:
        stop = done + end - start
        source = {"model": named, "layer_range": [start, end], "adapter_range": [done, stop]}
        slices.append({"sources": [source]})
        done = stop
    return slices
