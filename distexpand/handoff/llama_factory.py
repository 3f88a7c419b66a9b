"""New parameters in LLaMA-Factory's terms, where it has any for them.

It trains the first k layers, the last k, or with `use_llama_pro` the last of
every n/k, and finds them by `.NUMBER.` anywhere in a parameter's name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import yaml

from distexpand.errors import UsageError
from distexpand.handoff.new_parameters import NewParameters


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeSettings:
    """How many of the last layers are trained, of the first if negative; `use_llama_pro` spreads them."""

    freeze_trainable_layers: int
    use_llama_pro: bool

    def layers(self, num_layers: int) -> range:
        """Return the layers that LLaMA-Factory takes, of a model of so many."""
        count = self.freeze_trainable_layers
        if self.use_llama_pro:
            stride = num_layers // count
            return range(stride - 1, num_layers + stride - 1, stride)
        return range(num_layers - count, num_layers) if count > 0 else range(-count)


def llama_factory(new: NewParameters) -> str:
    """Return the part of a LLaMA-Factory config that trains the new parameters and no other.

    Raises:
        UsageError: it can't say so; says what it can.
    """
    for settings in _candidates(new):
        if _selected(settings, new) == list(new.names):
            document = {
                "finetuning_type": "freeze",
                "freeze_trainable_layers": settings.freeze_trainable_layers,
                "freeze_trainable_modules": "all",
                "use_llama_pro": settings.use_llama_pro,
            }
            return yaml.safe_dump(document, sort_keys=False)
    layers = ", ".join(map(str, new.layers))
    raise UsageError(
        f"LLaMA-Factory has no words for the new layers {layers} of {new.num_layers}: it trains the first or "
        "the last so many, or with use_llama_pro the last of every so many",
        hint="Use another format, or distexpand.freeze_original(model, OUT) in a script of your own.",
    )


def _candidates(new: NewParameters) -> Iterator[FreezeSettings]:
    count = len(new.layers)
    if new.num_layers % count == 0:
        yield FreezeSettings(freeze_trainable_layers=count, use_llama_pro=True)
    yield FreezeSettings(freeze_trainable_layers=count, use_llama_pro=False)
    yield FreezeSettings(freeze_trainable_layers=-count, use_llama_pro=False)


def _selected(settings: FreezeSettings, new: NewParameters) -> Sequence[str]:
    """Return the parameters that LLaMA-Factory finds, new ones first."""
    marks = [f".{layer}." for layer in settings.layers(new.num_layers)]
    return [name for name in (*new.names, *new.others) if any(mark in name for mark in marks)]
