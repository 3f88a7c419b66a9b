"""What is asked and what is answered about a text's perplexity."""

from dataclasses import dataclass

TOGETHER = 4096
"""Tokens that go through the model together: what they take beside a large model's layer is bearable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalOptions:
    """How a text is cut, and how a model runs.

    `window` and `stride` are in tokens: 1024 or what the model takes at most, and half of it,
    where they aren't given. `together` is how many tokens go through the model together.
    """

    window: int | None = None
    stride: int | None = None
    together: int = TOGETHER
    device: str = "cpu"
    trust_remote_code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Perplexity:
    """How well a model predicts a text.

    `loss` is the mean over all windows in nats per token, `perplexity` its exponential. `bits`
    are per byte of the text, to compare models whose tokenizers differ. `passes` is how often
    all layers were read.
    """

    model: str
    perplexity: float
    loss: float
    bits: float
    tokens: int
    window: int
    stride: int
    passes: int
    layers: int
    parameters: int
    seconds: float
