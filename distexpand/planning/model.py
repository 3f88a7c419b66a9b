"""The plan: what will be written, byte by byte, and where each byte comes from.

Frozen, without handles or callables: it can be printed, compared, hashed,
shipped to a worker and kept for a resume. Where the sources lie on this
machine is kept apart (`locations`) and is not part of the plan's digest: the
same recipe over the same source bytes has the same digest everywhere.
"""

from dataclasses import dataclass

from distexpand.planning.operations import Operation

FORMAT_VERSION = 1

CONFIG_NAME = "config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file that the plan reads from, pinned.

    `model` is the name in the recipe, `path` the file's path in that checkpoint, `size`
    its bytes. `pin` is the SHA-256 of a safetensors file's header (length prefix
    included), or of the whole file where it is a small side file.
    """

    model: str
    path: str
    size: int
    pin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardPlan:
    """One output file of weights.

    `header` is the encoded safetensors header with its 8-byte length prefix and padding.
    `operations` are in order of offset and cover the bytes from `len(header)` to `size`
    exactly once.
    """

    name: str
    header: bytes
    size: int
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFile:
    """A small output file whose text is part of the plan (config, model card)."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedFile:
    """A small output file that is a source file as it is (tokenizer, custom code)."""

    name: str
    source: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerOrigin:
    """Provenance of one output layer.

    `model` and `layer` name the source with the most weight; `others` the remaining
    sources of a blend, as `model:layer`. `copy` counts earlier output layers made of the
    same source layer (0 is the first use). `identity` means that the residual outputs are
    zero, so that the layer passes its input on unchanged. `transforms` says in words what
    was done to which tensors, `new` whether the layer is a repeat or an identity block
    (what a trainer of new blocks trains). `kind` is the layer's type where the config
    tells types apart, else empty.
    """

    model: str
    layer: int
    others: tuple[str, ...]
    copy: int
    identity: bool
    new: bool
    transforms: tuple[str, ...]
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a run needs to know.

    `recipe` is the canonical recipe's text. `parameters` counts the elements of all
    output tensors, `source_parameters` those of the base model. `locations` pairs each
    model named in `sources` with the directory or address where it was found.
    """

    recipe: str
    sources: tuple[SourceFile, ...]
    shards: tuple[ShardPlan, ...]
    texts: tuple[TextFile, ...]
    copies: tuple[CopiedFile, ...]
    layers: tuple[LayerOrigin, ...]
    layer_prefix: str
    parameters: int
    source_parameters: int
    locations: tuple[tuple[str, str], ...]
    format_version: int = FORMAT_VERSION
