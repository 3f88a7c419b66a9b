"""Source checkpoints that the benchmarks expand."""

import json
import shutil
from pathlib import Path

import numpy as np

from benchmarks.recipes import MODEL, OTHER
from distexpand.demo.model import prepare_model


def real_source(work: Path) -> Path:
    """Make SmolLM2-135M in bf16 under its recipe name."""
    return prepare_model(work / MODEL)


def noisy_source(work: Path, source: Path, *, seed: int = 1, spread: float = 0.01) -> Path:
    """Make a copy of a bf16 checkpoint with seeded noise added to every value."""
    target = work / OTHER
    shutil.copytree(source, target)
    raw = np.memmap(target / "model.safetensors", dtype=np.uint8, mode="r+")
    header = 8 + int.from_bytes(raw[:8].tobytes(), "little")
    dtypes = {entry["dtype"] for entry in json.loads(raw[8:header].tobytes()).values() if "dtype" in entry}
    if dtypes != {"BF16"}:
        raise ValueError(f"{source}: expected bf16 alone, found {sorted(dtypes)}")
    values = raw[header:].view("<u2")
    random = np.random.Generator(np.random.SFC64(seed))
    for begin in range(0, len(values), 2**22):
        block = values[begin : begin + 2**22]
        noise = random.standard_normal(len(block), dtype=np.float32) * np.float32(spread)
        widened = (block.astype("<u4") << 16).view("<f4") + noise
        block[:] = (widened.view("<u4") >> 16).astype("<u2")
    raw.flush()
    return target
