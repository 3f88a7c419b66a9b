"""How much memory does `distexpand eval` take of a model that is far larger than the machine?

A sparse checkpoint of Llama-3-70B's shape (132 GiB that take no disk: its weights read as zeros, so the
perplexity is that of guessing) goes through `distexpand eval` with a text of a few windows, and so does
a recipe that stacks it to 120 layers, of which nothing is written. Beside it: the same forward pass
by transformers' own offloading to disk, in another process. The peak is the resident memory
of the process, pages of files that are mapped included.

    python -m benchmarks.eval_memory --work DIRECTORY
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import measure
from tests.support.sparse import write_checkpoint

RECIPE = "{model: source, layer_map: [[0, 60], [20, 80]]}"

OFFLOADED = """
import sys, tempfile, torch, transformers
transformers.logging.set_verbosity_error()
directory, tokens = sys.argv[1], int(sys.argv[2])
layers = transformers.AutoConfig.from_pretrained(directory).num_hidden_layers
places = {f"model.layers.{layer}": "disk" for layer in range(layers)}
places |= dict.fromkeys(("model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head"), "disk")
with tempfile.TemporaryDirectory() as folder:
    model = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype="auto", device_map=places, offload_folder=folder
    )
    with torch.inference_mode():
        model(input_ids=torch.full((1, tokens), 3), use_cache=False)
"""


def main() -> int:
    arguments = _parser().parse_args()
    with measure.work_directory(arguments.work) as work:
        measure.print_heading("Memory of eval", work)
        rows = list(_rows(work, arguments))
    headings = ["what", "layers", "weights", "tokens", "passes", "perplexity", "s", "CPU s", "peak"]
    measure.print_table(headings, rows)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--family", default="llama3-70b")
    parser.add_argument("--layers", type=int, help="fewer layers than published")
    parser.add_argument("--tokens", type=int, default=256, help="of the text")
    parser.add_argument("--window", type=int, default=128)
    return parser


def _rows(work: Path, arguments: argparse.Namespace) -> Iterator[list[str]]:
    source = write_checkpoint(work / "source", arguments.family, num_layers=arguments.layers)
    text = work / "text.txt"
    text.write_text("a b c " * (arguments.tokens // 3 + 1))
    text.write_text(" ".join(text.read_text().split()[: arguments.tokens]))
    weights = sum(path.stat().st_size for path in source.glob("*.safetensors"))
    yield _evaluated("a checkpoint", source, text, arguments)
    if arguments.layers is None:
        recipe = work / "recipe.yml"
        recipe.write_text(RECIPE)
        yield _evaluated("a recipe", recipe, text, arguments, "--model", f"source={source}")
    command = [sys.executable, "-c", OFFLOADED, str(source), str(arguments.window)]
    done = measure.run(command)
    if done.code:
        sys.exit(done.messages)
    row = ["transformers' offloading, one window", "", measure.gigabytes(weights), str(arguments.window), "1"]
    yield [*row, "", *_figures(done)]


def _evaluated(name: str, model: Path, text: Path, arguments: argparse.Namespace, *more: str) -> list[str]:
    window = ["--window", str(arguments.window), "--stride", str(arguments.window // 2)]
    done = measure.run_distexpand("eval", model, "--text", text, *window, "--json", *more)
    (found,) = json.loads(done.output)["models"]
    return [
        name,
        str(found["layers"]),
        measure.gigabytes(2 * found["parameters"]),
        str(found["tokens"]),
        str(found["passes"]),
        f"{found['perplexity']:.0f}",
        *_figures(done),
    ]


def _figures(done: measure.Measured) -> list[str]:
    return [f"{done.seconds:.0f}", f"{done.processor_seconds:.0f}", measure.megabytes(done.peak_bytes)]


if __name__ == "__main__":
    sys.exit(main())
