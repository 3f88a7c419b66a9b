"""What `inspect` shows of a model, as text of at most 80 columns."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from distexpand.architecture.stacks.stack import LayerStack
from distexpand.planning.survey import Attribute, LayerKind
from distexpand.recipe.lint import layer_list
from distexpand.report.sizes import bytes_text, count_text, plural

WIDTH = 80
_NUMBER = re.compile(r"\.\d+(?=\.|$)")
_LABEL = 12
_MOST_OUTSIDE = 12
_MOST_OUTPUTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What headers and config say of one model.

    `stack` is the one that a recipe means where it names none, or the one asked for; `stacks`
    are all of them. `bytes` counts whole files, `dtypes` the tensors' data by dtype.
    """

    model: str
    stack: LayerStack
    stacks: tuple[LayerStack, ...]
    tensors: int
    parameters: int
    bytes: int
    dtypes: Mapping[str, int]
    files: int
    per_layer_keys: tuple[str, ...]
    outside: tuple[str, ...]
    kinds: tuple[LayerKind, ...]
    attributes: tuple[Attribute, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return inspection_text(self)


def inspection_text(found: Inspection) -> str:
    """Return an inspection in words."""
    return "\n".join(
        (
            *_head(found),
            *_layers(found.kinds),
            *_identity(found.kinds),
            *_config(found.attributes),
            *_list("unusual", found.notes or ("nothing",)),
            *_outside(found.outside),
        )
    )


def _head(found: Inspection) -> Iterator[str]:
    stack = found.stack
    yield from _row(
        "layers", f"{stack.num_layers}, named {stack.prefix}0 to {stack.prefix}{stack.num_layers - 1}"
    )
    yield from _row("count", f"config.json: {'.'.join(stack.count_path)}")
    for other in found.stacks:
        if other.prefix != stack.prefix:
            yield from _row("other stack", f"{other.prefix.rstrip('.')}, {plural(other.num_layers, 'layer')}")
    yield from _row("parameters", count_text(found.parameters))
    yield from _row("tensors", f"{found.tensors} in {plural(found.files, 'file')}, {bytes_text(found.bytes)}")
    yield from _row("dtypes", ", ".join(f"{name} {bytes_text(size)}" for name, size in found.dtypes.items()))


def _layers(kinds: Sequence[LayerKind]) -> Iterator[str]:
    yield ""
    for kind in kinds:
        yield from _row(
            "kinds" if kind is kinds[0] else "",
            f"{kind.name}: {layer_list(kind.layers)} "
            f"({plural(kind.tensors, 'tensor')}, {count_text(kind.parameters)} each)",
        )


def _identity(kinds: Sequence[LayerKind]) -> Iterator[str]:
    yield ""
    shown: dict[str, list[str]] = {}
    for kind in kinds:
        outputs = _without_numbers(kind.outputs)
        more = len(outputs) - _MOST_OUTPUTS
        text = ", ".join(outputs[:_MOST_OUTPUTS]) + (f" and {more:,} more" if more > 0 else "")
        shown.setdefault((kind.refusal and f"not possible: {kind.refusal}") or text, []).append(kind.name)
    for position, (text, names) in enumerate(shown.items()):
        whose = f"{'; '.join(names)}: " if len(shown) > 1 else ""
        yield from _row("" if position else "identity", whose + text)


def _config(attributes: Sequence[Attribute]) -> Iterator[str]:
    yield ""
    for attribute in attributes:
        label = "config" if attribute is attributes[0] else ""
        yield from _row(label, f"{attribute.key} = {attribute.value}")
        yield from _row("", f"-> {attribute.becomes}")


def _outside(names: Sequence[str]) -> Iterator[str]:
    names = _without_numbers(names)
    more = len(names) - _MOST_OUTSIDE
    shown = [*names[:_MOST_OUTSIDE], *([f"and {more:,} more"] if more > 0 else [])]
    yield from _list("outside", shown or ["nothing"])


def _without_numbers(names: Sequence[str]) -> list[str]:
    """Return names with a star for every number, each once: experts and other towers' layers as one."""
    return list(dict.fromkeys(_NUMBER.sub(".*", name) for name in names))


def _list(label: str, entries: Sequence[str]) -> Iterator[str]:
    yield ""
    for position, entry in enumerate(entries):
        yield from _row("" if position else label, entry)


def _row(label: str, text: str) -> Iterator[str]:
    lines = textwrap.wrap(text, WIDTH - _LABEL - 2, break_on_hyphens=False, break_long_words=False) or [""]
    for position, line in enumerate(lines):
        yield f"{'' if position else label:<{_LABEL}}{'  ' if position else ''}{line}".rstrip()
