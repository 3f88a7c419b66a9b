"""The configs behind the output layers: every source by a number, the base model's first."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distexpand.architecture.layer_rules.fit import Layers, completed
from distexpand.architecture.layer_rules.rule import LayerRule, Origin
from distexpand.architecture.stacks.blocks import in_layers
from distexpand.architecture.stacks.counts import with_decoder_count
from distexpand.architecture.stacks.stack import LayerStack


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerConfig:
    """Where one output layer's per-layer values come from: a source's whole config and a layer of it.

    `identity` says that the layer's parts add nothing, so that it matters little how they compute;
    `tensors` are the suffixes of the layer's tensors, where they are known.
    """

    config: Mapping[str, Any]
    stack: LayerStack
    layer: int
    origin: str
    identity: bool = False
    tensors: Collection[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Every source of an expansion by a number; the base is number 0.

    `completed` are its layers with the lists that their class makes up; `names` say where a
    config is from, for messages; `origins` where every output layer is from; `identities` which
    are identity blocks; `tensors` which tensors it has.
    """

    configs: Mapping[int, Mapping[str, Any]]
    base: Layers
    completed: Mapping[int, Layers]
    names: Mapping[int, str]
    origins: tuple[Origin, ...]
    identities: frozenset[int] = frozenset()
    tensors: tuple[Collection[str], ...] = ()

    @property
    def levels(self) -> Mapping[int, Mapping[str, Any]]:
        """The level of every source's config that counts its layers, as completed."""
        return {number: layers.level for number, layers in self.completed.items()}

    def rules(self) -> tuple[LayerRule, ...]:
        """Return the rules that speak of any source's layers, the base's first."""
        every = (self.base.rules(), *(layers.rules() for layers in self.completed.values()))
        found: list[LayerRule] = []
        for rules in every:
            found += [rule for rule in rules if not any(rule is other for other in found)]
        return tuple(found)


def config_level(config: Mapping[str, Any], stack: LayerStack) -> Mapping[str, Any]:
    """Return the level of the config that holds the stack's layer count, in layers."""
    level = config
    for key in stack.count_path[:-1]:
        level = level[key]
    return in_layers(level, stack.num_layers, stack.blocks)


def layers_of(config: Mapping[str, Any], stack: LayerStack) -> Layers:
    """Return a stack's layers as its config describes them."""
    level = config_level(config, stack)
    model_type = level.get("model_type") or config.get("model_type") or ""
    return Layers(level=level, model_type=str(model_type), prefix=stack.prefix, num_layers=stack.num_layers)


def find_sources(config: Mapping[str, Any], stack: LayerStack, layers: Sequence[LayerConfig]) -> Sources:
    """Number the configs of the output layers."""
    numbers = {id(config): 0}
    found = {0: (with_decoder_count(config), stack)}
    names = {0: "config.json"}
    for layer in layers:
        number = numbers.setdefault(id(layer.config), len(numbers))
        if number not in found:
            found[number] = with_decoder_count(layer.config), layer.stack
            names[number] = f"{layer.origin}: config.json"
    return Sources(
        configs={number: config for number, (config, _) in found.items()},
        base=layers_of(*found[0]),
        completed={number: completed(layers_of(*source)) for number, source in found.items()},
        names=names,
        origins=tuple((numbers[id(layer.config)], layer.layer) for layer in layers),
        tensors=tuple(layer.tensors for layer in layers),
        identities=frozenset(index for index, layer in enumerate(layers) if layer.identity),
    )
