"""Plans made wrong on purpose, as a wrong rule or a bug would make them, and proven in this process."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from distexpand.planning.check import shard_header
from distexpand.planning.model import CONFIG_NAME, Plan
from distexpand.proof import child
from distexpand.proof.check import question_of
from distexpand.proof.request import LoadProof

STACK = "{model: a, layer_map: [[0, 4], [2, 6]]}"


def with_config(plan: Plan, change: Callable[[dict[str, Any]], None]) -> Plan:
    """Return a plan whose config was changed."""
    texts = []
    for text in plan.texts:
        if text.name == CONFIG_NAME:
            config = json.loads(text.text)
            change(config)
            texts.append(replace(text, text=json.dumps(config)))
        else:
            texts.append(text)
    return replace(plan, texts=tuple(texts))


def without_shard_of(plan: Plan, tensor: str) -> Plan:
    """Return a plan that lacks the shard with a tensor."""
    kept = tuple(shard for shard in plan.shards if tensor not in shard_header(shard).tensors)
    assert len(kept) < len(plan.shards)
    return replace(plan, shards=kept)


def prove_here(plan: Plan, *, trust_remote_code: bool = False) -> LoadProof:
    """Answer as the proving process would, which takes seconds to start."""
    with tempfile.TemporaryDirectory() as directory:
        return child.prove(question_of(plan, Path(directory), trust_remote_code=trust_remote_code))
