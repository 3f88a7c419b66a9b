"""A recipe's model in memory, nothing written: copies of a layer share its weights.

The model's class builds every layer for its new place, so that each has its own
index and its own slot in a cache, and gets weights afterwards: those that are
made in the same way are one parameter. Rejected: copying the layers of a loaded
model and mending what each knows of its place, which every class keeps elsewhere.
"""

from typing import Any

import torch

from distexpand.running.deferred import Identities, make
from distexpand.running.libraries import quiet
from distexpand.running.opened import open_model, put
from distexpand.running.reading import TensorReader
from distexpand.running.runnable import Runnable


def materialise(
    runnable: Runnable, *, trust_remote_code: bool = False, dtype: str = "auto", **options: Any
) -> Any:
    """Return a model with all its weights, each that occurs several times once.

    Args:
        runnable: the model.
        trust_remote_code: whether code that came with it may run.
        dtype: as `from_pretrained` takes it.
        options: more for it.

    Raises:
        CheckpointError: it can't be loaded.
        StorageError: a source can't be read.
    """
    opened = open_model(
        runnable.weights,
        runnable.directory,
        origin=runnable.origin,
        trust_remote_code=trust_remote_code,
        dtype=dtype,
        **options,
    )
    identities = Identities()
    shared: dict[int, Any] = {}
    with TensorReader(runnable.weights, whole_files=True) as reader:
        for name, weight in opened.parameters.items():
            number = identities.number(weight)
            if number not in shared:
                made = make(weight, reader.tensor)
                shared[number] = torch.nn.Parameter(made, requires_grad=weight.requires_grad)
            put(opened.model, name, shared[number])
        for name, weight in opened.buffers.items():
            # buffers are small, and some classes change theirs while they run
            put(opened.model, name, make(weight, reader.tensor).clone())
    _take_generation_config(opened.model, runnable.directory)
    opened.model.config.name_or_path = runnable.origin
    return opened.model


def _take_generation_config(model: Any, directory: str) -> None:
    """Take the generation config that lies beside the config, as loading from the directory would have."""
    from transformers import GenerationConfig  # noqa: PLC0415  # takes seconds

    if model.can_generate():
        try:
            with quiet():
                model.generation_config = GenerationConfig.from_pretrained(directory, local_files_only=True)
        except OSError:
            return
