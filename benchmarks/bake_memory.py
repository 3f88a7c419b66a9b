"""How much memory does baking an adapter into a 7B model take?

Peak resident memory (`ru_maxrss` of the process) of `distexpand adapter bake`: a base of
Mistral-7B's true shapes, and an adapter of rank 16 on all linear modules of every layer, as LoRA, as
DoRA, and as LoRA on 48 replicated layers. At most 900 MB are wanted. The base's values are random
(14.5 GB, 36 GB of disk in all), or with `--fill hole` zeros that take no disk.

    python -m benchmarks.bake_memory --work DIRECTORY
"""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import measure
from tests.support.adapter_files import write_adapter
from tests.support.sparse import write_checkpoint

FAMILY = "mistral-7b"
RANK = 16
WANTED_BYTES = 900 * 10**6
SUFFIXES = (
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One bake."""

    name: str
    layers: int
    adapter_bytes: int
    written_bytes: int
    measured: measure.Measured


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--layers", type=int, default=32, help="layers of the base")
    parser.add_argument("--fill", choices=["random", "hole"], default="random")
    parser.add_argument("--threads", type=int, help="as `distexpand run --threads`")
    arguments = parser.parse_args()
    options = [] if arguments.threads is None else ["--threads", str(arguments.threads)]
    layers = arguments.layers
    quarter = layers // 4
    cases: dict[str, dict[str, Any]] = {
        "LoRA": {},
        "DoRA": {"use_dora": True},
        "LoRA, replicated": {"layer_replication": [[0, layers - quarter], [quarter, layers]]},
    }
    with measure.work_directory(arguments.work) as work:
        source_bytes = layers * 450 * 10**6 if arguments.fill == "random" else 0
        measure.need_free(work, source_bytes + 3 * layers * 450 * 10**6 // 2 + 10**9)
        base = write_checkpoint(work / "base", FAMILY, num_layers=layers, fill=arguments.fill)
        rows = [_bake(name, config, base, work, options) for name, config in cases.items()]
        _print(rows, work)
    return int(any(row.measured.peak_bytes > WANTED_BYTES for row in rows))


def _bake(name: str, config: dict[str, Any], base: Path, work: Path, options: list[str]) -> Row:
    print(f"{name} ...", file=sys.stderr, flush=True)
    adapter = write_adapter(work / "adapter", base, SUFFIXES, rank=RANK, **config)
    output = work / "output"
    measured = measure.run_distexpand("adapter", "bake", adapter, output, "--quiet", *options)
    row = Row(
        name=name,
        layers=json.loads((output / "config.json").read_text())["num_hidden_layers"],
        adapter_bytes=_weights(adapter),
        written_bytes=_weights(output),
        measured=measured,
    )
    shutil.rmtree(output)
    shutil.rmtree(adapter)
    return row


def _weights(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("*.safetensors"))


def _print(rows: list[Row], work: Path) -> None:
    measure.print_heading(f"Peak memory of baking an adapter of rank {RANK} into a 7B model", work)
    headings = ["adapter", "layers", "its size", "output size", "s", "CPU s", "peak"]
    table = [
        [
            row.name,
            str(row.layers),
            measure.gigabytes(row.adapter_bytes),
            measure.gigabytes(row.written_bytes),
            f"{row.measured.seconds:.1f}",
            f"{row.measured.processor_seconds:.1f}",
            measure.megabytes(row.measured.peak_bytes),
        ]
        for row in rows
    ]
    measure.print_table(headings, table)


if __name__ == "__main__":
    sys.exit(main())
