"""The canonical form that every recipe dialect is lowered to.

A recipe is the ordered list of output layers, each naming the source layers
that it is made of, plus what becomes of everything outside the layer stack.
Gradients, repeats, block expansion and attenuation are gone by here: what is
left is one entry per output layer, which is what the plan needs and what
`distexpand plan --canonical` prints.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from distexpand.formats.dtypes import DType


class MergeMethod(Enum):
    """How the sources of a part become one; the value is mergekit's name."""

    PASSTHROUGH = "passthrough"
    LINEAR = "linear"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ModelRef:
    """A model as a recipe names it: `name`, or `name@revision`."""

    name: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.name if self.revision is None else f"{self.name}@{self.revision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A number for the tensors whose source name contains `filter`; `None` means every tensor.

    In a tuple of rules the first match wins (mergekit's conditional parameters).
    """

    filter: str | None
    value: float

    def matches(self, tensor_name: str) -> bool:
        """Whether the rule speaks of the tensor with this full source name."""
        return self.filter is None or self.filter in tensor_name


def first_match(rules: tuple[Rule, ...], tensor_name: str, default: float) -> float:
    """Return the value of the first rule that matches the tensor's full source name."""
    return next((rule.value for rule in rules if rule.matches(tensor_name)), default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One source of a part: a model, and the index of its layer (`None` outside the stack).

    `scale` multiplies the tensors (passthrough), `weight` is the share in a weighted
    sum (linear); each defaults to 1 where no rule matches. `adapter` is merged into the
    model's tensors before anything else, into those of a layer what it has for its layer
    `adapter_layer`, which is another number than the model's where it was trained on copies.
    """

    model: ModelRef
    layer: int | None = None
    scale: tuple[Rule, ...] = ()
    weight: tuple[Rule, ...] = ()
    adapter: ModelRef | None = None
    adapter_layer: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One output layer, or the tensors before or after the stack.

    Passthrough has exactly one source. `identity` zeroes the residual outputs of the
    block. `normalize` divides a weighted sum by the sum of its weights (linear).
    """

    sources: tuple[Source, ...]
    identity: bool = False
    normalize: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A further stack of the model, by the words that name it, and its output layers in order."""

    stack: str
    layers: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A whole expansion in canonical form.

    `embeddings` are the tensors before the stack, `head` those after it (final norm and
    output head). `base_model` gives config and side files, `tokenizer` the tokenizer
    files. `dtype` is what tensors are cast to before arithmetic, `out_dtype` what is
    stored; `None` keeps what the source has (mergekit's meaning of both). `stack` names the
    stack that `layers` are of, empty for the language model's or decoder's; `modules` are
    further stacks that are expanded, too.
    """

    method: MergeMethod
    layers: tuple[Part, ...]
    embeddings: Part
    head: Part
    base_model: ModelRef
    tokenizer: ModelRef
    dtype: DType | None = None
    out_dtype: DType | None = None
    stack: str = ""
    modules: tuple[Module, ...] = ()

    def parts(self) -> Iterator[Part]:
        """Yield the embeddings, every layer in order, those of further stacks, and the head."""
        yield self.embeddings
        yield from self.layers
        for module in self.modules:
            yield from module.layers
        yield self.head

    def models(self) -> tuple[ModelRef, ...]:
        """Return every model that the recipe names, in order of first use."""
        named = [source.model for part in self.parts() for source in part.sources]
        return tuple(dict.fromkeys([*named, self.base_model, self.tokenizer]))

    def adapters(self) -> tuple[ModelRef, ...]:
        """Return every adapter that the recipe names, in order of first use."""
        named = (source.adapter for part in self.parts() for source in part.sources)
        return tuple(dict.fromkeys(adapter for adapter in named if adapter is not None))
