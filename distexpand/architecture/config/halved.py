"""RWKV's stream, which is halved after every so many layers: in another place a layer is given another share.

Transformers divides the weights that write into the stream by the same, so that
only the epsilon of the norms tells the difference. That is too little to refuse
what every published RWKV would be refused for, and too much for answers that
are compared bit for bit, so it is said.
"""

from collections.abc import Iterator

from distexpand.architecture.config.sources import Sources
from distexpand.findings import Finding

_EVERY, _ABSENT = "rescale_every", 6


def report_halving(sources: Sources) -> Iterator[Finding]:
    """Yield a finding for the first output layer whose stream is halved more or less often than it was."""
    for place, (number, layer) in enumerate(sources.origins):
        before, after = (_halvings(sources, *at) for at in ((number, layer), (0, place)))
        if before != after:
            yield Finding(
                code="config-rule",
                message=f"config.json: {_EVERY!r} divides what goes from layer to layer by 2^{after} at "
                f"output layer {place}, and by 2^{before} at layer {layer} of its source, which "
                "it is a copy of; norms take that back but for their epsilon, so answers differ a little",
                advice=f"Set {_EVERY!r} to 0 in the source's config: layers compute alike everywhere then.",
            )
            return


def _halvings(sources: Sources, number: int, layer: int) -> int:
    source = sources.completed[number]
    every = source.level.get(_EVERY, _ABSENT)
    return layer // every if source.model_type == "rwkv" and type(every) is int and every > 0 else 0
