"""A model that transformers has built and loaded, with every weight still to be made."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from distexpand.errors import CheckpointError
from distexpand.proof.classes import UnknownModelError, load_class, read_config
from distexpand.running.deferred import Deferred
from distexpand.running.libraries import quiet, words
from distexpand.running.weights import Made, Weights

_PROBLEMS = {"missing_keys": "has no tensor for", "mismatched_keys": "has a tensor of another shape for"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedModel:
    """A model as transformers made it.

    `parameters` and `buffers` are those that are deferred, by every name that they have in the
    model; what a checkpoint doesn't hold (tables of positions and the like) is there already.
    """

    model: Any
    parameters: Mapping[str, Any]
    buffers: Mapping[str, Any]


def open_model(
    weights: Weights,
    directory: str,
    *,
    origin: str,
    trust_remote_code: bool = False,
    dtype: str = "auto",
    **options: Any,
) -> OpenedModel:
    """Have transformers build and load a model without reading a weight.

    Args:
        weights: what its tensors are made of.
        directory: has its config, and its code if it brings any.
        origin: what to call the model in messages.
        trust_remote_code: whether that code may run.
        dtype: as transformers takes it.
        options: more for `from_pretrained`, such as `attn_implementation`.

    Raises:
        CheckpointError: transformers doesn't know the class, can't load it, or misses a tensor.
    """
    import torch  # noqa: PLC0415

    state = {name: _deferred(made) for name, made in weights.tensors.items()}
    try:
        with quiet(), torch.inference_mode(mode=False):
            config = read_config(directory, trust_remote_code=trust_remote_code)
            model_class = load_class(config, directory, trust_remote_code=trust_remote_code)
            # mismatches are told below, by name: transformers' own error speaks of a report that is kept off
            model, info = model_class.from_pretrained(
                None,
                config=config,
                state_dict=state,
                dtype=dtype,
                output_loading_info=True,
                **{**options, "ignore_mismatched_sizes": True},
            )
    except UnknownModelError as error:
        raise CheckpointError(f"{origin}: {error}") from None
    except Exception as error:
        raise CheckpointError(f"{origin}: transformers can't load it: {words(error)}") from error
    for kind, problem in _PROBLEMS.items():
        keys = sorted(str(key[0] if isinstance(key, tuple) else key) for key in info.get(kind) or ())
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise CheckpointError(f"{origin}: {problem} {keys[0]!r}{more}")
    return OpenedModel(
        model=model.eval(),
        parameters=_deferred_of(model.named_parameters(remove_duplicate=False)),
        buffers=_deferred_of(model.named_buffers(remove_duplicate=False)),
    )


def put(model: Any, name: str, tensor: Any) -> None:
    """Set a parameter or buffer of a model by its full name."""
    path, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(path), leaf, tensor)


def _deferred(made: Made) -> Any:
    import torch  # noqa: PLC0415

    from distexpand.proof.keys import TORCH_NAMES  # noqa: PLC0415

    dtype = getattr(torch, TORCH_NAMES.get(made.dtype.value, "uint8"))
    return Deferred(torch.empty(made.shape, dtype=dtype, device="meta"), leaf=made)


def _deferred_of(named: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: tensor for name, tensor in named if isinstance(tensor, Deferred)}
