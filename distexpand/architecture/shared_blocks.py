"""Blocks that several layers share (Zamba, Zamba2), whose weights are stored in the first of them only.

Of the layers that have a shared block, the k-th uses block k modulo the number
of blocks, and in Zamba2 adapters of its own, which are stored in the block as
the k-th of a list. So a layer keeps its weights only where its new k leaves
the same remainder, and the adapters' numbers follow their layers.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SHARED = re.compile(r"^shared_transf(ormer)?\.")
_USES = re.compile(r"^(mamba_decoder\.|shared_transf(ormer)?\.)")
_ADAPTER = re.compile(r"(.*_adapter_list\.)(\d+)(\..+)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedBlocks:
    """Which layers share a block: `users` in order, dealt out over `blocks` blocks in turn."""

    users: tuple[int, ...]
    blocks: int

    def number(self, layer: int) -> int | None:
        """Return which user a layer is, or nothing for a layer without a shared block."""
        return self.users.index(layer) if layer in self.users else None

    def owner(self, user: int) -> int:
        """Return the layer that holds the block of a user: the block's first one."""
        return self.users[user % self.blocks]


def find_shared_blocks(layers: Sequence[Iterable[str]], level: Mapping[str, Any]) -> SharedBlocks | None:
    """Return how layers share blocks, or nothing where each has its own weights."""
    sets = [frozenset(suffixes) for suffixes in layers]
    if not any(is_shared(suffix) for suffixes in sets for suffix in suffixes):
        return None
    users = tuple(index for index, found in enumerate(sets) if any(map(_USES.match, found)))
    blocks = level.get("num_mem_blocks")
    return SharedBlocks(users=users, blocks=blocks if type(blocks) is int and blocks > 0 else 1)


def is_shared(suffix: str) -> bool:
    """Whether a layer's tensor belongs to a block that other layers share."""
    return _SHARED.match(suffix) is not None


def adapter_user(suffix: str) -> int | None:
    """Return which user a shared block's adapter is for, or nothing for another tensor."""
    match = _ADAPTER.fullmatch(suffix)
    return int(match[2]) if match and is_shared(suffix) else None


def renumbered_adapter(suffix: str, user: int) -> str:
    """Return an adapter's suffix with another user's number."""
    match = _ADAPTER.fullmatch(suffix)
    return f"{match[1]}{user}{match[3]}" if match else suffix
