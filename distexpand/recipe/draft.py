"""A recipe as parsed, before the layer counts of its models are known.

`whole model`, block expansion and the like become layers only when the models have
been looked at; opening models is not the parser's business. `lower` turns a
draft into the canonical form.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Literal, TypeVar

from distexpand.formats.dtypes import DType
from distexpand.recipe.canonical import MergeMethod, ModelRef, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradient:
    """Values spread evenly over a slice's layers, for tensors whose name contains `filter`."""

    filter: str | None
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftSource:
    """One source of a slice; `layer_range` is `None` for all layers of the model.

    `path` is where the layer range stands. `scale` and `weight` hold every parameter
    level, the innermost first, so that the first match wins. `adapter_range` are the
    adapter's layers, `None` for those of the same numbers.
    """

    path: str
    model: ModelRef
    adapter: ModelRef | None = None
    adapter_range: tuple[int, int] | None = None
    layer_range: tuple[int, int] | None = None
    identity: bool = False
    scale: tuple[Gradient, ...] = ()
    weight: tuple[Gradient, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftSlice:
    """A run of output layers, `repeat` times in a row."""

    path: str
    sources: tuple[DraftSource, ...]
    normalize: bool = True
    repeat: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """The layers as an explicit list of slices."""

    slices: tuple[DraftSlice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftModule:
    """Slices of a further stack of the model, `stack` being the words that name it."""

    path: str
    stack: str
    slices: tuple[DraftSlice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadBlocks:
    """Block expansion by a count: identity copies spread evenly, or all after the last layer."""

    path: str
    blocks: int
    where: Literal["interleaved", "end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedBlocks:
    """Block expansion by place: an identity copy right after each of these layers."""

    path: str
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthUpScaling:
    """Two copies of the model, the last `cut` layers of the first and first of the second removed."""

    path: str
    cut: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedRange:
    """The whole model, with one range of layers occurring `times` times in a row."""

    path: str
    layer_range: tuple[int, int]
    times: int


Shorthand = SpreadBlocks | PlacedBlocks | DepthUpScaling | RepeatedRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A parsed recipe that may still need layer counts.

    A shorthand speaks of `base_model`, with `base_adapter` merged into it. `attenuation` is for
    every later copy of a layer. `embeddings` and `head` replace what follows from the first and
    last slice. `stack` and `modules` are as in the canonical form.
    """

    origin: str
    method: MergeMethod
    layers: Slices | Shorthand
    base_model: ModelRef
    tokenizer: ModelRef
    base_adapter: ModelRef | None = None
    dtype: DType | None = None
    out_dtype: DType | None = None
    attenuation: tuple[Rule, ...] = ()
    embeddings: DraftSlice | None = None
    head: DraftSlice | None = None
    stack: str = ""
    modules: tuple[DraftModule, ...] = ()

    @property
    def models(self) -> tuple[ModelRef, ...]:
        """Every model that the recipe names, in order of first use."""
        return tuple(dict.fromkeys([*self.weighted_models, self.tokenizer]))

    @property
    def weighted_models(self) -> tuple[ModelRef, ...]:
        """The models whose weights or config are used; another may give its tokenizer only."""
        return tuple(dict.fromkeys([*self._sources(), self.base_model]))

    @property
    def layered_models(self) -> tuple[ModelRef, ...]:
        """The models whose layer counts `lower` needs, in order of first use."""
        if isinstance(self.layers, Slices):
            named = (source.model for part in self.layers.slices for source in part.sources)
            return tuple(dict.fromkeys(named))
        return (self.base_model,)

    @property
    def adapters(self) -> tuple[ModelRef, ...]:
        """The adapters that the recipe names, in order of first use."""
        named = (self.base_adapter, *(source.adapter for part in self._slices() for source in part.sources))
        return tuple(dict.fromkeys(adapter for adapter in named if adapter is not None))

    def _sources(self) -> Iterator[ModelRef]:
        yield from (source.model for source in self.embeddings.sources) if self.embeddings else ()
        yield from self.layered_models
        yield from (source.model for source in self.head.sources) if self.head else ()
        for module in self.modules:
            yield from (source.model for part in module.slices for source in part.sources)

    def _slices(self) -> Iterator[DraftSlice]:
        if self.embeddings:
            yield self.embeddings
        if isinstance(self.layers, Slices):
            yield from self.layers.slices
        for module in self.modules:
            yield from module.slices
        if self.head:
            yield self.head


Part = TypeVar("Part")


def with_models(part: Part, names: Mapping[ModelRef, ModelRef]) -> Part:
    """Return a draft, or a part of one, that names its models otherwise."""
    if isinstance(part, ModelRef):
        return names.get(part, part)  # type: ignore[return-value]  # Part is ModelRef here
    if isinstance(part, tuple):
        return tuple(with_models(item, names) for item in part)  # type: ignore[return-value]  # a tuple as well
    if is_dataclass(part) and not isinstance(part, type):
        changed = {field.name: with_models(getattr(part, field.name), names) for field in fields(part)}
        return replace(part, **changed)
    return part
