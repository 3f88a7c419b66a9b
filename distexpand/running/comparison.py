"""How far an output's logits are from those of the model that it was made of."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from distexpand.errors import UsageError
from distexpand.running.libraries import usable_device
from distexpand.running.logits import logits_of
from distexpand.running.opened import open_model
from distexpand.running.reading import TensorReader
from distexpand.running.runnable import Runnable
from distexpand.running.streaming import stream
from distexpand.running.tokens import TEXT, Tokens, fixed_tokens, tokenized

MOST_TOKENS = 1024
"""Logits of both models are held for so many: half a GB for each with the largest vocabularies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What comes after one token of the text, by the source and by the output.

    `difference` is the largest of two logits, `divergence` the Kullback-Leibler divergence of
    the output's distribution from the source's in nats, `same_top` whether both find the same
    token most likely.
    """

    token: int
    difference: float
    divergence: float
    same_top: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A source's logits beside the output's.

    `equal` means bit for bit. `has_to_be_equal` says that the recipe only adds identity blocks.
    """

    source: str
    positions: tuple[Position, ...]
    equal: bool
    has_to_be_equal: bool
    by_tokenizer: bool
    tokens_left_out: int

    @property
    def ok(self) -> bool:
        """Whether nothing is other than it has to be."""
        return self.equal or not self.has_to_be_equal

    @property
    def largest_difference(self) -> float:
        """The largest difference of two logits at any position."""
        return max(position.difference for position in self.positions)

    @property
    def mean_divergence(self) -> float:
        """The mean divergence over all positions, in nats."""
        return sum(position.divergence for position in self.positions) / len(self.positions)

    @property
    def largest_divergence(self) -> float:
        """The largest divergence at any position, in nats."""
        return max(position.divergence for position in self.positions)

    @property
    def top_agreement(self) -> float:
        """The share of positions at which both find the same token most likely."""
        return sum(position.same_top for position in self.positions) / len(self.positions)

    def to_json(self) -> dict[str, Any]:
        """Return the comparison for `--json`."""
        summary = {
            "ok": self.ok,
            "largest_difference": self.largest_difference,
            "mean_divergence": self.mean_divergence,
            "largest_divergence": self.largest_divergence,
            "top_agreement": self.top_agreement,
        }
        return summary | asdict(self)


def compare(
    source: Runnable,
    output: Runnable,
    *,
    has_to_be_equal: bool,
    text: str | None = None,
    device: str = "cpu",
    trust_remote_code: bool = False,
    progress: Callable[[float], None] = lambda _: None,
) -> Comparison:
    """Run both models on a text, one layer in memory at a time.

    Args:
        source: the base model of the recipe.
        output: what was made of it, or a plan of that.
        has_to_be_equal: whether the recipe only adds identity blocks.
        text: at most 1024 tokens of it are looked at; a small one of ours if not given.
        device: where the models run.
        trust_remote_code: whether code that came with a model may run.
        progress: told the share of the work that is done, after every layer.

    Raises:
        UsageError: there is a text and no tokenizer for it, or the vocabularies differ.
        CheckpointError: a model can't be loaded or run.
    """
    usable_device(device)
    tokens, rows = Tokens(ids=(), by_tokenizer=False), torch.empty(0)
    logits: list[Any] = []
    for number, runnable in enumerate((source, output)):
        with TensorReader(runnable.weights) as reader:
            opened = open_model(
                runnable.weights,
                runnable.directory,
                origin=runnable.origin,
                trust_remote_code=trust_remote_code,
            )
            if not logits:
                tokens = _tokens(source, opened.model.config, text, trust_remote_code=trust_remote_code)
                rows = torch.tensor([tokens.ids[:MOST_TOKENS]], device=device)
            model = stream(opened, reader, device=device)

            def told(share: float, number: int = number) -> None:
                progress((number + share) / 2)

            logits.append(logits_of(model, rows, origin=runnable.origin, told=told)[0])
    theirs, ours = logits
    if theirs.shape != ours.shape:
        raise UsageError(f"{output.origin}: has another vocabulary than {source.origin}")
    return Comparison(
        source=source.origin,
        positions=tuple(map(_position, rows[0], theirs, ours)),
        equal=torch.equal(theirs, ours),
        has_to_be_equal=has_to_be_equal,
        by_tokenizer=tokens.by_tokenizer,
        tokens_left_out=max(0, len(tokens.ids) - MOST_TOKENS),
    )


def _tokens(source: Runnable, config: Any, text: str | None, *, trust_remote_code: bool) -> Tokens:
    """Return a text's tokens; of ours fixed ones where the model has no tokenizer."""
    said = TEXT if text is None else text
    try:
        tokens = tokenized(source.directory, said, origin=source.origin, trust_remote_code=trust_remote_code)
    except UsageError:
        if text is not None:
            raise
        return fixed_tokens(config)
    if not tokens.ids:
        raise UsageError(
            f"the text holds no token of {source.origin}: {said[:40]!r}",
            hint="Give at least some words of text.",
        )
    return tokens


def _position(token: Any, theirs: Any, ours: Any) -> Position:
    theirs, ours = theirs.double(), ours.double()
    source, output = theirs.log_softmax(-1), ours.log_softmax(-1)
    terms = source.exp() * (source - output)
    divergence = float(terms[source > -torch.inf].sum())
    return Position(
        token=int(token),
        difference=float((theirs - ours).abs().nan_to_num().max()),
        divergence=max(0.0, divergence),
        same_top=bool(theirs.argmax() == ours.argmax()),
    )
