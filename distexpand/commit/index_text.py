"""The shard index of a plan's output."""

from distexpand.formats.index import encode_index
from distexpand.planning.check import shard_header
from distexpand.planning.model import Plan


def index_text(plan: Plan) -> str:
    """Return the shard index of a plan's output."""
    weight_map: dict[str, str] = {}
    size = 0
    for shard in plan.shards:
        weight_map |= dict.fromkeys(shard_header(shard).tensors, shard.name)
        size += shard.size - len(shard.header)
    return encode_index(weight_map, total_size=size, total_parameters=plan.parameters)
