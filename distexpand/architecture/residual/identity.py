"""Identity blocks: what each tensor of a block has to be for it to pass its input on unchanged.

Zero the projections that write into the residual stream (LLaMA Pro, arXiv
2401.02415), set what the stream is multiplied by to one, and the block adds
nothing. Which tensors these are is a fact that structure alone doesn't show,
so it is a table (`facts`). A block is explained only if each of its
tensors belongs to a known part or is a known norm; one that the table doesn't
explain wholly is refused rather than zeroed in the hope that it fits.
Rejected: looking for known outputs and ignoring the rest, which takes a second
mixer beside the attention, cross-attention or a learned residual scale for an
identity.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from distexpand.architecture.quantised import BIASES, LEAVES, PLAIN, zero_values
from distexpand.architecture.residual.fact import NORMALISED, Fact, Role
from distexpand.architecture.residual.facts import FACTS, NEVER_IF, NORM_BEFORE_PART
from distexpand.architecture.residual.inputs import part_without_output
from distexpand.architecture.residual.norms import is_fairseq_norm, is_norm, is_norm_after
from distexpand.errors import ArchitectureError
from distexpand.formats.dtypes import DType

_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tensor:
    """A tensor's suffix, taken apart: the weight's name, what the storage adds to it, and its fact.

    `path` is unique in the layer, `name` what the facts table may know it by. They differ for
    tensors that models keep in lists beside the blocks, whose suffix starts with the list's name.
    """

    suffix: str
    path: str
    name: str
    leaf: str
    fact: Fact | None


def identity_values(
    dtypes: Mapping[str, DType], config: Mapping[str, Any], *, origin: str
) -> Mapping[str, float]:
    """Return what a layer's tensors have to be for an identity block; those not named stay.

    Args:
        dtypes: the dtypes of the layer's tensors, by name without prefix and index.
        config: the level of the config that describes this stack.
        origin: what to name in an error, such as `model.layers.3`.

    Raises:
        ArchitectureError: the block can't be an identity, or it isn't known how.
    """
    _refuse_by_config(dtypes, config, origin)
    tensors = [_explained(suffix, dtypes, config) for suffix in dtypes]
    for tensor in tensors:
        if tensor.fact is not None and tensor.fact.role is Role.NEVER:
            raise _impossible(origin, f"{tensor.fact.reason} ({tensor.suffix!r})")
    values: dict[str, float] = {}
    outputs = [tensor for tensor in tensors if tensor.fact is not None and tensor.fact.value is not None]
    for path, group in _by_path(outputs).items():
        values.update(_values(path, group, dtypes, origin))
    values.update(_biases_after(tensors, dtypes, config))
    _require_explained(tensors, dtypes, config, origin)
    return values


def residual_outputs(
    dtypes: Mapping[str, DType], config: Mapping[str, Any], *, origin: str
) -> frozenset[str]:
    """Return the suffixes of one layer's tensors that an identity block sets, most of them to zero.

    Raises:
        ArchitectureError: the block can't be an identity, or it isn't known how.
    """
    return frozenset(identity_values(dtypes, config, origin=origin))


def _explained(suffix: str, dtypes: Mapping[str, DType], config: Mapping[str, Any]) -> _Tensor:
    local = _local(suffix)
    for name, leaf in _splits(local):
        fact = _fact(name, dtypes, config)
        if fact is not None:
            path = suffix.removesuffix(leaf)
            return _Tensor(suffix=suffix, path=path, name=name, leaf=leaf, fact=fact)
    return _Tensor(suffix=suffix, path=suffix, name=local, leaf="", fact=None)


def _local(suffix: str) -> str:
    """Return a suffix without the name of a list beside the blocks (`model.ffns.*.lin1.weight`)."""
    outer, star, inner = suffix.partition(".*")
    inner = inner.removeprefix(".")
    if not star:
        return suffix
    return inner if "." in inner else ".".join(filter(None, (outer.rpartition(".")[2], inner)))


def _splits(suffix: str) -> Iterator[tuple[str, str]]:
    """Yield a suffix as the name of a weight and what follows, known endings first, longest name first."""
    for leaf in LEAVES:
        if leaf and suffix.endswith(leaf):
            yield suffix[: -len(leaf)], leaf
    path, leaf = suffix, ""
    while path:
        yield path, leaf
        path, dot, last = path.rpartition(".")
        leaf = f"{dot}{last}{leaf}"


def _fact(path: str, dtypes: Collection[str], config: Mapping[str, Any]) -> Fact | None:
    model = config.get("model_type")
    for name in dict.fromkeys((path, _NUMBER.sub("N", path))):
        for fact in FACTS_BY_NAME.get(name, ()):
            if (not fact.model or fact.model == model) and (not fact.beside or fact.beside in dtypes):
                return fact
    return None


def _by_path(tensors: Iterable[_Tensor]) -> dict[str, list[_Tensor]]:
    groups: dict[str, list[_Tensor]] = defaultdict(list)
    for tensor in tensors:
        groups[tensor.path].append(tensor)
    return groups


def _values(path: str, group: list[_Tensor], dtypes: Mapping[str, DType], origin: str) -> Mapping[str, float]:
    """Return what the tensors of one weight have to be."""
    fact = group[0].fact
    leaves = {tensor.leaf: dtypes[tensor.suffix] for tensor in group}
    if fact is not None and fact.value:
        if not all(leaf in PLAIN and dtype.is_plain_float for leaf, dtype in leaves.items()):
            raise _unexplained(origin, f"{path!r} would have to be {fact.value:g} and isn't a plain float")
        return {tensor.suffix: fact.value for tensor in group}
    unknown = [tensor.suffix for tensor in group if tensor.leaf not in LEAVES]
    zeros = None if unknown else zero_values(leaves)
    if zeros is None or not (zeros.keys() - set(BIASES) or leaves.keys() <= set(BIASES)):
        raise ArchitectureError(
            f"{origin}: can't make an identity block: {path!r} is stored quantised in a way that isn't known "
            f"({_listed(unknown or (tensor.suffix for tensor in group))}), where zeros may not mean zero",
            hint="Use the model as it was before quantisation.",
        )
    return {tensor.suffix: zeros[tensor.leaf] for tensor in group if tensor.leaf in zeros}


def _biases_after(
    tensors: Iterable[_Tensor], dtypes: Collection[str], config: Mapping[str, Any]
) -> Mapping[str, float]:
    """Return the biases that are added to a part's result on its way to the stream."""
    return {
        tensor.suffix: 0.0
        for tensor in tensors
        if tensor.suffix.endswith("bias")
        and (
            tensor.fact.role is Role.AFTER
            if tensor.fact
            else is_norm_after(tensor.name, dtypes) and is_norm(tensor.name, config)
        )
    }


def _require_explained(
    tensors: Collection[_Tensor], dtypes: Collection[str], config: Mapping[str, Any], origin: str
) -> None:
    """Check that every tensor has a place in the block, and every part a known output."""
    found = [tensor for tensor in tensors if tensor.fact is not None and tensor.fact.role is Role.OUTPUT]
    parts = {_part(tensor.name) for tensor in found}
    for tensor in tensors:
        if tensor.fact is None and not is_norm(tensor.name, config) and _part(tensor.name) not in parts:
            raise _unexplained(origin, _unknown(tensor, tensors))
    if not found:
        raise _unexplained(origin, f"no attention or feed-forward part is known: {_listed(dtypes)}")
    parents = {tensor.path.rpartition(".")[0] for tensor in found}
    for tensor in tensors:
        part = "" if tensor.fact else part_without_output(tensor.suffix, parents)
        if part:
            raise _unexplained(origin, f"the output of {part!r} isn't known")


def _unknown(tensor: _Tensor, tensors: Iterable[_Tensor]) -> str:
    part = _part(tensor.name)
    if part in _PARTS:
        others = [other.suffix for other in tensors if _part(other.name) == part]
        return f"the output of {part!r} isn't known: {_listed(others)}"
    return f"what {tensor.suffix!r} does in the block isn't known"


def _part(path: str) -> str:
    return path.partition(".")[0]


def _refuse_by_config(dtypes: Iterable[str], config: Mapping[str, Any], origin: str) -> None:
    for key, value in NEVER_IF.items():
        if key in config and config[key] == value:
            raise _impossible(origin, f"{NORMALISED} ({key!r} is {value!r})")
    fairseq = next((suffix for suffix in dtypes if is_fairseq_norm(suffix)), None)
    if fairseq is None:
        return
    before = NORM_BEFORE_PART.get(str(config.get("model_type")))
    if before is False:
        raise _impossible(origin, f"{NORMALISED} ({fairseq!r})")
    if before is None:
        raise _unexplained(origin, f"whether {fairseq!r} stands before or after its part isn't known")


def _impossible(origin: str, reason: str) -> ArchitectureError:
    return ArchitectureError(
        f"{origin}: an identity block isn't possible: {reason}, so that a block whose parts add nothing "
        "still changes its input",
        hint="Copies that aren't identity blocks are possible: `repeat`, `layer_map` or slices.",
    )


def _unexplained(origin: str, reason: str) -> ArchitectureError:
    return ArchitectureError(
        f"{origin}: can't make an identity block: {reason}",
        hint="If you know the tensors to zero, name them with parameters.scale filters of value 0.",
    )


def _listed(suffixes: Iterable[str]) -> str:
    return ", ".join(sorted(suffixes)[:12])


def facts_by_name(facts: Iterable[Fact]) -> Mapping[str, tuple[Fact, ...]]:
    """Return the rows of a facts table by name, in their order."""
    found: dict[str, tuple[Fact, ...]] = {}
    for fact in facts:
        found[fact.name] = (*found.get(fact.name, ()), fact)
    return found


FACTS_BY_NAME = facts_by_name(FACTS)
_PARTS = frozenset(_part(fact.name) for fact in FACTS if fact.role is Role.OUTPUT)
