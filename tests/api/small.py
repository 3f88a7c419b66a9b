"""Small checkpoints, plans over them, and outputs as bytes, for tests that run the whole program."""

from hashlib import file_digest
from pathlib import Path

from distexpand.api import plan_expansion
from distexpand.planning.model import Plan
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint

COPIES = "{model: a, layer_map: [[0, 3], [1, 4]]}"
BLOCKS = "{model: a, block_expansion: {blocks: 2, where: interleaved}}"
TWO_SOURCES = """
slices:
  - sources: [{model: a, layer_range: [0, 3]}]
  - sources: [{model: b, layer_range: [1, 4]}]
merge_method: passthrough
"""
SCALED = """
slices:
  - sources: [{model: a, layer_range: [0, 4], parameters: {scale: [{filter: q_, value: 0.7}, {value: 1}]}}]
  - sources: [{model: a, layer_range: [2, 4], parameters: {scale: 0.5}}]
merge_method: passthrough
"""


def small_model(
    directory: Path,
    *,
    seed: int = 1,
    num_layers: int = 4,
    dtype: str = "BF16",
    fill: str = "random",
    **changes,
) -> Path:
    """Write a sharded model of about 60 KB."""
    sizes = {"hidden_size": 16, "intermediate_size": 24, "vocab_size": 40}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    shape = family("llama2-7b", num_layers=num_layers, dtype=dtype, **{**sizes, **heads, **changes})
    write_checkpoint(directory, shape, fill=fill, seed=seed, shard_size=6000)
    (directory / "additional_chat_templates").mkdir()
    (directory / "additional_chat_templates" / "tools.jinja").write_text("{{ tools }}\n")
    return directory


def small_plan(text: str, *models: Path, shard_size: int = 5000) -> Plan:
    """Plan a recipe whose models are named by the directories' names."""
    places = {model.name: str(model) for model in models}
    return plan_expansion(text, origin="recipe.yml", places=places, shard_size=shard_size).plan


def tree(directory: Path) -> dict[str, bytes]:
    """Return every file of a directory, hidden ones too."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def digests(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a directory, hidden ones too."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                found[path.relative_to(directory).as_posix()] = file_digest(file, "sha256").hexdigest()
    return found


def identities(directory: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of change of the final shards."""
    found = {path.name: path.stat() for path in directory.glob("*.safetensors")}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in found.items()}


def disk_bytes(directory: Path) -> int:
    """Return the bytes that a directory's files take on disk."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())
