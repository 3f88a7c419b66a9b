"""Shards by source: what is made of the same source bytes together, in the sources' order.

Copies of a tensor lie side by side, so that a shard is written in one pass over
its sources, at no more places at once than a tensor has copies. What is
blended can hang together through whole stacks (A with B, B with C): such a
family may be larger than any shard. It is split where a shard is full, and what
the two parts have in common is read once for each.
Rejected: shards of more than the shard size, which somebody chose for a
reason, such as a limit on files; copies of a whole run of layers one behind the
other, which would be written at places far apart, or not fit into a shard.
"""

from collections.abc import Iterator, Sequence

from distexpand.planning.operations import SourceRange

Ranges = tuple[SourceRange, ...]
"""What a tensor is made of."""


def source_groups(ranges: Sequence[Ranges], lengths: Sequence[int], shard_size: int) -> Iterator[list[int]]:
    """Yield the tensors of each shard by their positions.

    Args:
        ranges: what each tensor is made of.
        lengths: each tensor's bytes.
        shard_size: most bytes of a shard that holds more than one tensor.
    """
    group: list[int] = []
    size = 0
    for family in families(ranges):
        whole = lengths[family[0]] if len(family) == 1 else sum(lengths[tensor] for tensor in family)
        fits = size + whole <= shard_size
        for number, tensor in enumerate(family):
            if group and (size + lengths[tensor] > shard_size or (not number and not fits)):
                yield group
                group, size = [], 0
            group.append(tensor)
            size += lengths[tensor]
    if group:
        yield group


def families(ranges: Sequence[Ranges]) -> list[list[int]]:
    """Return tensors, by their positions, in families that have source ranges in common.

    Families, and the tensors of each, are in the order of what they read. What is made of no
    source is a family of its own, behind all others.
    """
    members: list[list[int]] = []
    known: dict[SourceRange, int] = {}
    joined: list[int] = []
    sourceless = []
    for tensor, own in enumerate(ranges):
        if len(own) == 1:  # as nearly all are
            number = known.setdefault(own[0], len(members))
            if number == len(members):
                joined.append(number)
                members.append([tensor])
            else:
                members[_find(joined, number)].append(tensor)
            continue
        found = sorted({_find(joined, known[part]) for part in own if part in known})
        if not own:
            sourceless.append([tensor])
        elif found:
            members[found[0]].append(tensor)
            _join(members, joined, found)
        else:
            found = [len(members)]
            joined.append(len(members))
            members.append([tensor])
        for part in own:
            known[part] = found[0]
    for family in members:
        if len(family) > 1:
            family.sort(key=lambda tensor: (ranges[tensor], tensor))
    made = sorted((family for family in members if family), key=lambda family: ranges[family[0]])
    return [*made, *sourceless]


def _find(joined: list[int], number: int) -> int:
    """Return the family that one has become part of."""
    while joined[number] != number:
        joined[number] = joined[joined[number]]
        number = joined[number]
    return number


def _join(members: list[list[int]], joined: list[int], numbers: Sequence[int]) -> None:
    """Make one family of several, by the first one's number."""
    first, *others = numbers
    for other in others:
        members[first] += members[other]
        members[other] = []
        joined[other] = first
