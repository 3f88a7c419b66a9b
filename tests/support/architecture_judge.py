"""Is an expansion of a tiny model right? Judged from the models alone, without the package's planner.

The map of layers is given; everything else is found by looking: tensors are
compared by name and bits, and each layer of the output has to compute what its
source layer computes in its own place. For that the source runs once per
output layer, with the hidden states that the output's layer got put in at the
source's layer: masks, rotations and whatever else a layer's kind decides come
from the source. So a wrong kind shows, whichever way the config says it.
"""

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file

from tests.support.architecture_layers import Replay, Step, first_other_layer, record, replay

TOKENS = torch.arange(3, 19)[None]
"""More tokens than any window of `SIZES` is wide."""

TOLERANCE = 1e-5

_TOWER = re.compile(r"(^|[._])(vision|visual|image|audio|encoder|speech|patcher)([._]|$)")
_INDEX = re.compile(r"(?<=\.)\d+(?=\.)")


class WrongError(Exception):
    """The output isn't what the map of layers says."""


class Loaded:
    """A checkpoint loaded in float32, with what transformers said of its keys."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        config = json.loads((directory / "config.json").read_text())
        model_class = getattr(transformers, config["architectures"][0])
        self.model, info = model_class.from_pretrained(
            directory, dtype=torch.float32, output_loading_info=True
        )
        self.model.eval()
        self.problems = {key: sorted(map(str, found)) for key, found in info.items() if found}

    def answer(self) -> torch.Tensor:
        """Return the logits."""
        asks_decoder = "decoder_input_ids" in inspect.signature(self.model.forward).parameters
        more = {"decoder_input_ids": TOKENS} if asks_decoder else {}
        tokens = TOKENS
        if self.model.config.model_type.startswith("musicgen"):
            tokens = TOKENS.repeat(self.model.config.num_codebooks, 1)
        model = self.model
        if model.config.model_type == "llama4":
            model = model.language_model  # the whole asks for images' outputs without having any
        with torch.no_grad():
            logits: torch.Tensor = model(input_ids=tokens, use_cache=False, **more).logits
        return logits

    def stack(self, num_layers: int) -> str:
        """Return the path of the module that lists the layers."""
        found = [
            name
            for name, module in self.model.named_modules()
            if isinstance(module, torch.nn.ModuleList) and len(module) == num_layers
        ]
        if not found:
            raise WrongError(f"no list of {num_layers} layers in the loaded model")
        return min(found, key=lambda name: (bool(_TOWER.search(name)), "." in name and "layer" not in name))

    def layers(self, num_layers: int) -> Any:
        """Return the list of layers."""
        return self.model.get_submodule(self.stack(num_layers))

    def record(self, layers: Any) -> dict[int, Step]:
        """Return what each layer was given and answered."""
        return record(self.answer, layers)

    def replay(self, layers: Any) -> Replay:
        """Return what says how a layer answers, in its own place, to other hidden states."""
        return lambda index, states: replay(self.answer, layers[index], states)

    def stored(self) -> dict[str, torch.Tensor]:
        """Return every tensor on disk."""
        shards = sorted(self.directory.glob("*.safetensors"))
        return {name: tensor for shard in shards for name, tensor in load_file(shard).items()}


def judge(
    source: Path, output: Path, layer_map: Sequence[int], *, num_layers: int, new: Sequence[int]
) -> None:
    """Compare an output with its source.

    Args:
        source: the tiny model's directory.
        output: the expansion's.
        layer_map: source layer of every output layer.
        num_layers: how many the source has.
        new: output layers that have to be identities.

    Raises:
        WrongError: what is wrong first.
    """
    before, after = Loaded(source), Loaded(output)
    _check_keys(before, after)
    _check_parameters(before, after, layer_map, num_layers, new)
    _check_stored(before.stored(), after.stored(), layer_map, num_layers)
    logits = after.answer()
    if not logits.isfinite().all():
        raise WrongError("the answer isn't finite")
    if new:
        _check_same_answer(before.answer(), logits)
    layers = after.layers(len(layer_map))
    pairs = [
        (index, origin)
        for index, origin in enumerate(layer_map)
        if index not in new and not _reads_other_layer(layers[index])
    ]
    problem = first_other_layer(before.replay(before.layers(num_layers)), after.record(layers), pairs)
    if problem:
        raise WrongError(problem)


def _reads_other_layer(layer: Any) -> bool:
    """Whether a layer uses keys and values of another, which replaying it alone would leave as they were."""
    return bool(getattr(getattr(layer, "self_attn", None), "is_kv_shared_layer", False))


def _check_keys(before: Loaded, after: Loaded) -> None:
    known = {kind: {_INDEX.sub("#", key) for key in keys} for kind, keys in before.problems.items()}
    for kind, keys in after.problems.items():
        for key in keys:
            if _INDEX.sub("#", key) not in known.get(kind, set()):
                raise WrongError(f"{kind}: {key} ({len(keys)} in all)")


def _check_same_answer(before: torch.Tensor, after: torch.Tensor) -> None:
    difference = (before - after).abs().max().item()
    if not difference <= TOLERANCE:
        raise WrongError(f"an identity that isn't one: logits differ by {difference:.3g}")


_RUN = re.compile(r"(.*?\.)(\d+)(\..*)")
_ADAPTER = re.compile(r"_adapter_list\.\d+\.")
"""Zamba2's adapters, numbered across layers that share a block; what they compute is judged by running."""


def _check_parameters(
    before: Loaded, after: Loaded, layer_map: Sequence[int], num_layers: int, new: Sequence[int]
) -> None:
    prefix, now_prefix = before.stack(num_layers), after.stack(len(layer_map))
    if prefix != now_prefix:
        raise WrongError(f"layers lie in {now_prefix} and lay in {prefix}")
    was, now = before.model.state_dict(), after.model.state_dict()
    for index, origin in enumerate(layer_map):
        here, there = f"{prefix}.{index}.", f"{prefix}.{origin}."
        names = {key[len(here) :] for key in now if key.startswith(here) and not _ADAPTER.search(key)}
        expected = {key[len(there) :] for key in was if key.startswith(there) and not _ADAPTER.search(key)}
        if names != expected:
            raise WrongError(f"layer {index} has other tensors than layer {origin}: {min(names ^ expected)}")
        for name in sorted(names):
            if not same(now[here + name], was[there + name]) and not (
                index in new and _is_constant(now[here + name])
            ):
                raise WrongError(f"{here}{name} isn't {there}{name}")
    beside = _runs_beside(was, num_layers) & _runs_beside(now, len(layer_map)) - {f"{prefix}."}
    _check_beside(was, now, beside, layer_map, new)
    for name in now.keys() | was.keys():
        run = _RUN.match(name)
        if not name.startswith(f"{prefix}.") and not (run and run[1] in beside):
            _check_outside(name, was.get(name), now.get(name), layer_map, num_layers)


def _check_beside(
    was: Mapping[str, torch.Tensor],
    now: Mapping[str, torch.Tensor],
    beside: set[str],
    layer_map: Sequence[int],
    new: Sequence[int],
) -> None:
    for run in filter(None, map(_RUN.match, now)):
        index = int(run[2])
        if run[1] in beside:
            origin = f"{run[1]}{layer_map[index]}{run[3]}"
            if not same(now[run[0]], was[origin]) and not (index in new and _is_constant(now[run[0]])):
                raise WrongError(f"{run[0]} isn't {origin}")


def _runs_beside(names: Mapping[str, torch.Tensor], num_layers: int) -> set[str]:
    """Return the prefixes of numbers that count the same layers in another module, as XLM has them."""
    runs: dict[str, set[int]] = {}
    for match in filter(None, map(_RUN.match, names)):
        runs.setdefault(match[1], set()).add(int(match[2]))
    return {prefix for prefix, run in runs.items() if run == set(range(num_layers))}


def _check_stored(
    was: Mapping[str, torch.Tensor],
    now: Mapping[str, torch.Tensor],
    layer_map: Sequence[int],
    num_layers: int,
) -> None:
    """Check that nothing outside the stack, and no layer beyond the count, was lost on disk."""
    prefix = _stored_prefix(was, num_layers)
    beside = _runs_beside(was, num_layers) & _runs_beside(now, len(layer_map)) - {prefix}
    for name, tensor in was.items():
        run = _RUN.match(name)
        if run and run[1] in beside:
            continue
        index = _layer(name, prefix)
        if index is None:
            _check_outside(name, tensor, now.get(name), layer_map, num_layers)
        elif index >= num_layers:
            moved = f"{prefix}{index - num_layers + len(layer_map)}{name[len(f'{prefix}{index}') :]}"
            _check_outside(moved, tensor, now.get(moved), layer_map, num_layers)


def _check_outside(
    name: str,
    was: torch.Tensor | None,
    now: torch.Tensor | None,
    layer_map: Sequence[int],
    num_layers: int,
) -> None:
    if was is None or now is None:
        raise WrongError(f"{name} is {'new' if was is None else 'lost'}")
    if not same(was, now) and not any(same(now, turned) for turned in _by_layers(was, layer_map, num_layers)):
        raise WrongError(f"{name} has changed")


def _by_layers(was: torch.Tensor, layer_map: Sequence[int], num_layers: int) -> Iterator[torch.Tensor]:
    """Yield a tensor with one of its dimensions, which holds a block per layer, in the new order."""
    for dimension, length in enumerate(was.shape):
        if length % num_layers == 0:
            blocks = was.chunk(num_layers, dim=dimension)
            yield torch.cat([blocks[origin] for origin in layer_map], dim=dimension)


def _stored_prefix(names: Mapping[str, torch.Tensor], num_layers: int) -> str:
    runs: dict[str, set[int]] = {}
    for name in names:
        match = re.match(r"(?:(.*?\.))??(\d+)\.", name)
        if match:
            runs.setdefault(match[1] or "", set()).add(int(match[2]))
    found = [prefix for prefix, run in runs.items() if set(range(num_layers)) <= run]
    if not found:
        raise WrongError(f"no run of {num_layers} layers on disk: {sorted(runs)}")
    return min(found, key=lambda prefix: bool(_TOWER.search(prefix)))


def _layer(name: str, prefix: str) -> int | None:
    match = re.match(re.escape(prefix) + r"(\d+)\.", name)
    return int(match[1]) if match else None


def same(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether two tensors are the same, bit for bit."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    left, right = (tensor.contiguous().flatten().view(torch.uint8) for tensor in (left, right))
    return torch.equal(left, right)


def _is_constant(tensor: torch.Tensor) -> bool:
    return bool((tensor == 0).all() or (tensor == 1).all())
