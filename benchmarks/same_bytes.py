"""Are the output's bytes independent of thread count, and its tensors of shard size?

Expands SmolLM2-135M with copies, zeroed blocks and scaled layers, for threads
1, 2, 8 and shard sizes from 50 MB to 5 GB. Same shard size: every file the same
byte for byte. Any shard size: the same tensors. Exit code 1 on any difference.

    python -m benchmarks.same_bytes
"""

import hashlib
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure
from benchmarks.checkpoints import file_digests
from benchmarks.recipes import LAYERS, MODEL, ZERO_RESIDUAL, NamedRecipe, part, passthrough
from benchmarks.sources import real_source

THREADS = (1, 2, 8)
SHARD_SIZES = ("50MB", "128MB", "500MB", "5GB")


@dataclass(frozen=True, kw_only=True)
class Expanded:
    """Digests of one output's files and tensors, and how it was made."""

    shard_size: str
    threads: int
    seconds: float
    shards: int
    files: dict[str, str]
    tensors: dict[str, str]


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    arguments = parser.parse_args()
    with measure.work_directory(arguments.work) as work:
        measure.need_free(work, 2 * 10**9)
        real_source(work)
        found = [_expand(work, shard_size, threads) for shard_size in SHARD_SIZES for threads in THREADS]
        measure.print_heading("Same bytes for any thread count, same tensors for any shard size", work)
    return _print(found)


def _print(found: list[Expanded]) -> int:
    """Print the table; return 1 if anything differs, else 0."""
    by_shard_size = {one.shard_size: one for one in reversed(found)}
    rows = []
    for one in found:
        same_files = one.files == by_shard_size[one.shard_size].files
        same_tensors = one.tensors == found[0].tensors
        verdicts = ["same" if same else "DIFFERENT" for same in (same_files, same_tensors)]
        rows.append([one.shard_size, one.threads, one.shards, f"{one.seconds:.1f}", *verdicts])
    headings = ["shard size", "threads", "shards", "s", f"files as with {THREADS[0]} thread", "tensors"]
    measure.print_table(headings, rows)
    return 1 if any("DIFFERENT" in row for row in rows) else 0


def _expand(work: Path, shard_size: str, threads: int) -> Expanded:
    zeroed = part(LAYERS - 1, LAYERS, scale=ZERO_RESIDUAL)
    document = passthrough(part(0, 20), part(10, LAYERS), part(5, 15, scale=0.7071), zeroed, zeroed)
    recipe, output = work / "recipe.yml", work / "out"
    recipe.write_text(NamedRecipe(name="same-bytes", document=document).yaml())
    options = ["--model", f"{MODEL}={work / MODEL}", "--shard-size", shard_size, "--threads", str(threads)]
    measured = measure.run_distexpand("run", recipe, output, *options, "--quiet")
    expanded = Expanded(
        shard_size=shard_size,
        threads=threads,
        seconds=measured.seconds,
        shards=len(list(output.glob("*.safetensors"))),
        files=file_digests(output),
        tensors=tensor_digests(output),
    )
    shutil.rmtree(output)
    return expanded


def tensor_digests(directory: Path) -> dict[str, str]:
    """Return for each tensor the SHA-256 of dtype, shape and bytes."""
    digests: dict[str, str] = {}
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            for name, entry in header.items():
                begin, end = entry["data_offsets"]
                file.seek(8 + length + begin)
                digest = hashlib.sha256(f"{entry['dtype']} {entry['shape']}".encode())
                digest.update(file.read(end - begin))
                digests[name] = digest.hexdigest()
    return digests


if __name__ == "__main__":
    sys.exit(main())
