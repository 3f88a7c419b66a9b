"""Sliding windows over a text, as transformers' documentation cuts them to compute a perplexity.

A window begins every `stride` tokens; of each, only those tokens count that no
window before it had, so that all but the first ones are predicted from at least
`window - stride` tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from distexpand.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Tokens `begin` to `end` (exclusive), of which the last `scored` count."""

    begin: int
    end: int
    scored: int

    @property
    def length(self) -> int:
        """Number of tokens."""
        return self.end - self.begin

    @property
    def predicted(self) -> int:
        """Number of tokens that are predicted: nothing comes before a window's first."""
        return min(self.scored, self.length - 1)

    @property
    def weight(self) -> int:
        """What the window's mean counts in that of the text.

        The documentation takes one off for every window, though only the first one has a scored
        token that isn't predicted. The figures are to be comparable with everybody else's.
        """
        return self.scored - 1


def cut_windows(tokens: int, *, window: int, stride: int) -> tuple[Window, ...]:
    """Return the windows of a text of so many tokens.

    Raises:
        UsageError: the text has less than two tokens, or the stride is longer than the window.
    """
    if stride > window:
        raise UsageError(
            f"a stride of {stride} leaves tokens out between windows of {window}",
            hint=f"Choose a stride of at most {window}.",
        )
    if tokens < 2:  # noqa: PLR2004  # one to predict from, one to predict
        raise UsageError(
            f"a text of {tokens} tokens is too short for a perplexity", hint="Give a longer text."
        )
    windows = []
    done = 0
    for begin in range(0, tokens, stride):
        end = min(begin + window, tokens)
        found = Window(begin=begin, end=end, scored=end - done)
        if found.predicted:  # a last token by itself isn't predicted from anything
            windows.append(found)
        done = end
        if end == tokens:
            break
    return tuple(windows)


def batches(windows: Sequence[Window], *, tokens: int) -> Iterator[tuple[Window, ...]]:
    """Yield windows of one length that go through the model together, of `tokens` tokens or a single one."""
    batch: list[Window] = []
    for window in windows:
        if batch and (window.length != batch[0].length or (len(batch) + 1) * window.length > tokens):
            yield tuple(batch)
            batch = []
        batch.append(window)
    if batch:
        yield tuple(batch)
