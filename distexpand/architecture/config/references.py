"""Values outside the stack's own level that name its layers: where pictures are fed into the language model.

Features of a picture go into some layers of the language model by number. In a
new order each goes into the first copy of its layer: a second injection would
count the picture twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from distexpand.architecture.layer_rules.paths import look_up
from distexpand.architecture.layer_rules.rule import Origin
from distexpand.architecture.stacks.stack import LayerStack
from distexpand.errors import ArchitectureError
from distexpand.findings import Finding

_TARGETS: dict[str, list[int] | None] = {
    "spatial_target_layers": [12, 15, 18, 21],
    "deepstack_layer_map": None,
}
"""Keys with layers of the language model, alone or as the last of several, and what an absent one means."""

_HAVE_TARGETS = frozenset({"granite4_vision"})
_FIRST_LAYERS = "vision_config.deepstack_visual_indexes"
_KEPT = ("accept_hidden_layer", "talker_config.accept_hidden_layer")


def follow_targets(config: Mapping[str, Any], stack: LayerStack, origins: Sequence[Origin]) -> dict[str, Any]:
    """Return the new values of keys that say into which layers features go.

    Raises:
        ArchitectureError: a layer that features go into is in the new order no more.
    """
    if str(config.get("model_type")) not in _HAVE_TARGETS or len(stack.count_path) == 1:
        return {}
    places = {layer: place for place, (source, layer) in reversed(list(enumerate(origins))) if source == 0}
    return {key: value for key, value in _moved(config, places) if value != config.get(key)}


def _moved(config: Mapping[str, Any], places: Mapping[int, int]) -> Iterator[tuple[str, Any]]:
    for key, default in _TARGETS.items():
        given = config.get(key)
        layers = default if given is None else given
        if not layers or (given is None and all(places.get(layer) == layer for layer in layers)):
            continue
        yield key, [_moved_entry(key, entry, places) for entry in layers]


def _moved_entry(key: str, entry: Any, places: Mapping[int, int]) -> Any:
    layer = entry[-1] if isinstance(entry, list) else entry
    if layer not in places:
        raise ArchitectureError(
            f"config.json: {key!r} feeds pictures into layer {layer}, which the new order leaves out",
            hint=f"Keep layer {layer}.",
        )
    return [*entry[:-1], places[layer]] if isinstance(entry, list) else places[layer]


def report_places(config: Mapping[str, Any], stack: LayerStack, origins: Sequence[Origin]) -> list[Finding]:
    """Report what depends on places in the stack and can't follow the layers."""
    if len(stack.count_path) == 1:
        return []
    findings = []
    listed = look_up(config, _FIRST_LAYERS)
    fed = len(listed) if isinstance(listed, list) else 0
    if any(origin != (0, place) for place, origin in enumerate(origins[:fed])):
        findings.append(
            _finding(f"{_FIRST_LAYERS!r} feeds pictures into the first {fed} layers, which are others now")
        )
    moved = list(origins) != [(0, layer) for layer in range(stack.num_layers)]
    kept = [key for key in _KEPT if moved and look_up(config, key) is not None]
    findings += [
        _finding(f"{key!r} = {look_up(config, key)} counts layers by their old numbers") for key in kept
    ]
    return findings


def _finding(message: str) -> Finding:
    return Finding(
        code="config-rule",
        message=f"config.json: {message}",
        advice="Check that it is right for the new order of layers.",
    )
