"""The recipes that the benchmarks run, in mergekit's YAML form.

Written as data and dumped as YAML, so that both tools read the same file.
Models are named by paths with two slashes: mergekit takes shorter ones for
names on a model hub, and asks there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

MODEL = "./models/smollm2"
OTHER = "./models/noisy"
LAYERS = 30

ZERO_RESIDUAL = [
    {"filter": "o_proj", "value": 0.0},
    {"filter": "down_proj", "value": 0.0},
    {"value": 1.0},
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRecipe:
    """A recipe, and whether what it makes computes the same function as its source."""

    name: str
    document: dict[str, Any]
    identity: bool = False

    def yaml(self) -> str:
        """Return the recipe as a file's text."""
        return yaml.safe_dump(self.document, sort_keys=False)


def passthrough(*slices: dict[str, Any], dtype: str | None = "bfloat16", **keys: Any) -> dict[str, Any]:
    """Return a passthrough recipe; `dtype=None` leaves the key out."""
    types = {} if dtype is None else {"dtype": dtype}
    return {"slices": list(slices), "merge_method": "passthrough", **types, **keys}


def part(begin: int, end: int, *, model: str = MODEL, scale: Any = None) -> dict[str, Any]:
    """Return a slice of one source."""
    source: dict[str, Any] = {"model": model, "layer_range": [begin, end]}
    if scale is not None:
        source["parameters"] = {"scale": scale}
    return {"sources": [source]}


def openchat_end(layers: int = LAYERS, new: int = 8) -> dict[str, Any]:
    """Return block expansion at the end of the stack, as OpenChat-3.5-0106 was expanded."""
    return passthrough(part(0, layers), *[part(layers - 1, layers, scale=ZERO_RESIDUAL) for _ in range(new)])


def llama_pro(layers: int = LAYERS, every: int = 3) -> dict[str, Any]:
    """Return LLaMA-Pro's block expansion: an identity copy after every few layers."""
    parts: list[dict[str, Any]] = []
    for end in range(every, layers + 1, every):
        parts += [part(end - every, end), part(end - 1, end, scale=ZERO_RESIDUAL)]
    return passthrough(*parts)


def stacked(ranges: Sequence[tuple[int, int]], *, scale: Any = None, **keys: Any) -> dict[str, Any]:
    """Return slices of one model on top of each other."""
    return passthrough(*[part(begin, end, scale=scale) for begin, end in ranges], **keys)


def linear(weights: Sequence[Any], models: Sequence[str], layers: int, **parameters: Any) -> dict[str, Any]:
    """Return a weighted sum of whole models."""
    sources = [
        {"model": model, "layer_range": [0, layers], "parameters": {"weight": weight}}
        for model, weight in zip(models, weights, strict=True)
    ]
    document = {"slices": [{"sources": sources}], "merge_method": "linear", "dtype": "bfloat16"}
    return document | ({"parameters": parameters} if parameters else {})


def comparison_recipes() -> list[NamedRecipe]:
    """Return the recipes on which two tools have to agree bit for bit."""
    return [*_copying_recipes(), *_scaling_recipes(), *_linear_recipes(), *_dtype_recipes()]


_HALVES = [(0, 20), (10, 30)]


def _copying_recipes() -> list[NamedRecipe]:
    two_sources = [part(0, 16), part(8, 24, model=OTHER), part(14, 30)]
    return [
        NamedRecipe(name="openchat-end", document=openchat_end(), identity=True),
        NamedRecipe(name="llama-pro", document=llama_pro(), identity=True),
        NamedRecipe(name="stacked", document=stacked(_HALVES)),
        NamedRecipe(name="two-sources", document=passthrough(*two_sources)),
    ]


def _scaling_recipes() -> list[NamedRecipe]:
    filtered = [
        {"filter": "q_proj", "value": 0.7071},
        {"filter": "k_proj", "value": 0.7071},
        {"filter": "down_proj", "value": 0.5},
        {"value": 1.0},
    ]
    gradient_filter = [{"filter": "mlp", "value": [0.1, 0.9]}, {"value": [1.0, 0.25, 0.75]}]
    everywhere = {"scale": [{"filter": "o_proj", "value": 0.3}, {"value": 1.0}]}
    return [
        NamedRecipe(name="scale-number", document=stacked(_HALVES, scale=0.5)),
        NamedRecipe(name="scale-odd-number", document=stacked(_HALVES, scale=0.7071)),
        NamedRecipe(name="scale-filters", document=stacked(_HALVES, scale=filtered)),
        NamedRecipe(name="scale-gradient", document=stacked(_HALVES, scale=[0.2, 1.0, 0.5])),
        NamedRecipe(name="scale-filtered-gradient", document=stacked(_HALVES, scale=gradient_filter)),
        NamedRecipe(name="scale-global", document=stacked(_HALVES, parameters=everywhere)),
    ]


def _linear_recipes() -> list[NamedRecipe]:
    pair = (MODEL, OTHER)
    f32 = linear((0.3, 0.7), pair, LAYERS) | {"dtype": "float32"}
    return [
        NamedRecipe(name="linear", document=linear((0.3, 0.7), pair, LAYERS)),
        NamedRecipe(name="linear-raw", document=linear((0.3, 0.7), pair, LAYERS, normalize=False)),
        NamedRecipe(name="linear-raw-sum", document=linear((0.3, 0.9), pair, LAYERS, normalize=False)),
        NamedRecipe(name="linear-uneven", document=linear((1.0, 0.37), pair, LAYERS, normalize=True)),
        NamedRecipe(name="linear-zero-weight", document=linear((1.0, 0.0), pair, LAYERS), identity=True),
        NamedRecipe(name="linear-gradient", document=linear(([0.1, 0.9], [0.8, 0.3]), pair, LAYERS)),
        NamedRecipe(name="linear-f32", document=f32),
    ]


def _dtype_recipes() -> list[NamedRecipe]:
    wide = stacked(_HALVES, scale=0.7071, dtype="float32", out_dtype="bfloat16")
    narrow = stacked(_HALVES, scale=0.3, dtype="float16", out_dtype="float32")
    return [
        NamedRecipe(name="no-dtype", document=stacked(_HALVES, dtype=None)),
        NamedRecipe(name="f16", document=stacked(_HALVES, dtype="float16")),
        NamedRecipe(name="f32", document=stacked(_HALVES, dtype="float32")),
        NamedRecipe(name="out-f16", document=stacked(_HALVES, dtype=None, out_dtype="float16")),
        NamedRecipe(name="f32-scaled-out-bf16", document=wide),
        NamedRecipe(name="f16-scaled-out-f32", document=narrow),
    ]
