"""Which layers of an adapter go with the layers of a source.

Those of the same numbers, as in mergekit, unless the recipe says `adapter_range`: PEFT's
`layer_replication` trains copies of layers, and the adapter numbers them as they
stand in the replicated model.
"""

from distexpand.recipe.draft import DraftSource
from distexpand.recipe.located import Located


def check_adapter_range(source: DraftSource, length: int, *, origin: str) -> None:
    """Check that there is one layer of the adapter for each of the model; how many it has is known later.

    Raises:
        RecipeError: there are more or fewer, or one before the first.
    """
    if source.adapter_range is None:
        return
    start, end = source.adapter_range
    if start < 0 or end - start != length:
        raise Located(value=None, path=source.path, origin=origin).error(
            f"found [{start}, {end}] as layers of the adapter {source.adapter}; "
            f"expected as many as the model's, {length}"
        )


def adapter_layer(source: DraftSource, layer: int | None, index: int) -> int | None:
    """Return the adapter's layer that goes with a layer of the model, the one at `index` of its slice."""
    if source.adapter is None or layer is None:
        return None
    return layer if source.adapter_range is None else source.adapter_range[0] + index
