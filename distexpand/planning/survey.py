"""What is known of a model's layers before any recipe: stacks, kinds of layers, config, oddities.

Asks the same functions that planning asks, so that what `inspect` says is what
a plan would do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from distexpand.architecture.config.lists import by_layer, every_layer
from distexpand.architecture.config.sources import layers_of
from distexpand.architecture.layer_rules.paths import look_up
from distexpand.architecture.layer_rules.rule import LayerRule
from distexpand.architecture.positions import placed_tensors
from distexpand.architecture.residual.identity import identity_values
from distexpand.architecture.stacks.stack import LayerStack
from distexpand.errors import ArchitectureError
from distexpand.formats.json_text import brief
from distexpand.planning.oddities import oddities
from distexpand.planning.sources import SourceModel

_MOST_MARKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerKind:
    """Layers that have the same tensors and the same words in the config.

    `name` is those words, or the parts that tell the layers from others. `outputs` are the
    tensors that an identity block sets, in the first of the layers; `refusal` says why there
    can be none.
    """

    name: str
    layers: tuple[int, ...]
    tensors: int
    parameters: int
    outputs: tuple[str, ...]
    refusal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """A key of the config that speaks of layers: its value in brief, and what an expansion does with it."""

    key: str
    value: str
    becomes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """One stack of a model: `lists` are the keys with an entry per layer, `notes` what is unusual."""

    stack: LayerStack
    kinds: tuple[LayerKind, ...]
    attributes: tuple[Attribute, ...]
    notes: tuple[str, ...]
    lists: tuple[str, ...]


def survey(model: SourceModel) -> Survey:
    """Return what is known of a model's stack."""
    rules = layers_of(model.config, model.stack).rules()
    lists = by_layer(model.stack_config, model.stack.num_layers, rules)
    return Survey(
        stack=model.stack,
        kinds=tuple(_kinds(model, lists)),
        attributes=tuple(_attributes(model, lists, rules)),
        notes=(
            *oddities(model),
            *(f"{rule.what} depends on a layer's place" for rule in rules if not rule.keys),
        ),
        lists=tuple(lists),
    )


def _kinds(model: SourceModel, lists: Sequence[str]) -> Iterator[LayerKind]:
    worded = [
        values
        for values in (look_up(model.stack_config, key) for key in lists)
        if isinstance(values, list) and all(isinstance(value, str) for value in values)
    ]
    placed = {tensor.suffix for tensor in placed_tensors(model.layers, model.stack_config)}
    groups: dict[tuple[tuple[str, ...], frozenset[str]], list[int]] = {}
    for index, layer in enumerate(model.layers):
        words = tuple(values[index] for values in worded)
        groups.setdefault((words, frozenset(layer) - placed), []).append(index)
    parts = [_parts(suffixes) for _, suffixes in groups]
    common = frozenset.intersection(*parts)
    for ((words, _), layers), own in zip(groups.items(), parts, strict=True):
        marks = sorted(own - common)
        shown = ", ".join(marks[:_MOST_MARKS]) + (", ..." if len(marks) > _MOST_MARKS else "")
        name = ", ".join(dict.fromkeys(words)) or (shown and f"with {shown}") or "all alike"
        yield _kind(model, name, layers)


def _parts(suffixes: frozenset[str]) -> frozenset[str]:
    """Return the parts that a layer consists of, such as `self_attn` and `mlp.experts`."""
    paths = (suffix.split(".") for suffix in suffixes)
    return frozenset(
        ".".join(names[:2]) if len(names) > 2 and not names[1].isdigit() else names[0]  # noqa: PLR2004
        for names in paths
    )


def _kind(model: SourceModel, name: str, layers: Sequence[int]) -> LayerKind:
    first = model.layers[layers[0]]
    dtypes = {suffix: entry.dtype for suffix, entry in first.items()}
    outputs: tuple[str, ...] = ()
    refusal = ""
    try:
        outputs = tuple(sorted(identity_values(dtypes, model.stack_config, origin="layer")))
    except ArchitectureError as error:
        refusal = error.message.removeprefix("layer: ")
    return LayerKind(
        name=name,
        layers=tuple(layers),
        tensors=len(first),
        parameters=sum(entry.parameters for entry in first.values()),
        outputs=outputs,
        refusal=refusal,
    )


def _attributes(model: SourceModel, lists: Sequence[str], rules: Sequence[LayerRule]) -> Iterator[Attribute]:
    level, stack = model.stack_config, model.stack
    for path in stack.count_paths:
        if type(look_up(model.config, ".".join(path))) is int:
            yield Attribute(
                key=".".join(path),
                value=str(stack.num_layers * stack.blocks),
                becomes="the new number of layers" + (f" times {stack.blocks}" if stack.blocks > 1 else ""),
            )
    for key in lists:
        yield Attribute(key=key, value=brief(look_up(level, key)), becomes="entries follow their layers")
    for key in every_layer(level, stack.num_layers):
        yield Attribute(key=key, value=brief(level[key]), becomes="every layer, as now")
    for rule in rules:
        said = [key for key in rule.keys if look_up(level, key) is not None and key not in lists]
        if not said or rule.overruled_by in lists:
            continue
        instead = f", else written out as {rule.overruled_by}" if rule.overruled_by else ""
        yield Attribute(
            key=said[0],
            value=brief(look_up(level, said[0])),
            becomes=f"{rule.what}: set anew, so that every layer keeps its own{instead}",
        )
