"""Layout: which tensors of an output share a shard, and in which order."""

from enum import Enum


class Layout(Enum):
    """In the order of layers, as the Hub's checkpoints are, or by what tensors are made of.

    By source, all tensors that are made of the same source bytes lie in one shard, as far as
    they fit, and shards are in the sources' order: each source byte is read once, in whatever
    order shards are made and wherever, also after an interruption.
    """

    LAYERS = "layers"
    BY_SOURCE = "by-source"
