"""Identity blocks that are neutral in some places of the stack only.

Some models compute with a layer's index, or give it a role by its index. What
the block's tensors can't settle is settled here, once the block's place in the
output is known.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from distexpand.errors import ArchitectureError

PlaceRule: TypeAlias = Callable[[Mapping[str, Any], int, bool], str]
"""Config of the stack, index in the output, whether it stands at the end; gives why not, or nothing."""


def _only_at_the_end(_: Mapping[str, Any], __: int, at_end: bool) -> str:
    if at_end:
        return ""
    return (
        "the model scales the stream in each layer, which only the final norm undoes: it has to be at the end"
    )


def _not_where_a_block_of_layers_begins(config: Mapping[str, Any], index: int, _: bool) -> str:
    period = config.get("n_layers_per_attn_res_block")
    if isinstance(period, int) and period > 0 and index % period:
        return ""
    return f"it begins a block of layers ('n_layers_per_attn_res_block' is {period!r}) and resets the stream"


def _with_scales_above_zero(config: Mapping[str, Any], _: int, __: bool) -> str:
    wrong = [key for key, value in config.items() if key.endswith("_alpha_factor") and not value > 0]
    return f"the stream is multiplied by {wrong[0]!r}, which isn't above zero" if wrong else ""


def _not_on_the_embeddings(_: Mapping[str, Any], index: int, __: bool) -> str:
    """All that follows a layer normalises the stream. Twice is as good as once, but for what is near zero."""
    return "" if index else "it would normalise the embeddings, of which those near zero aren't the same then"


PLACE_RULES: Mapping[str, PlaceRule] = {
    "beam": _only_at_the_end,
    "dory": _not_on_the_embeddings,
    "inkling2": _not_where_a_block_of_layers_begins,
    "inkling2_text": _not_where_a_block_of_layers_begins,
    "minimax": _with_scales_above_zero,
}
"""Model types whose identity blocks need a certain place."""


def check_place(config: Mapping[str, Any], index: int, *, at_end: bool, origin: str) -> None:
    """Check that an identity block is neutral as layer `index` of the output.

    Args:
        config: the level of the config that describes the stack.
        index: the block's place in the output.
        at_end: whether only identity blocks follow it.
        origin: what to name in an error.

    Raises:
        ArchitectureError: it isn't.
    """
    rule = PLACE_RULES.get(str(config.get("model_type")))
    reason = rule(config, index, at_end) if rule else ""
    if reason:
        raise ArchitectureError(
            f"{origin}: an identity block isn't possible as layer {index}: {reason}",
            hint="Copies that aren't identity blocks are possible: `repeat`, `layer_map` or slices.",
        )
