"""Every architecture of transformers, expanded: stacked, with an identity block, sharded.

Builds a tiny random checkpoint of each class, runs the expansions of
`architecture_cases.py` on it and judges the outputs from the loaded models
alone. A worker does the work, so that a class that brings its process down
costs only itself.

    python -m benchmarks.architectures --only jamba qwen3_next --what stack,identity
    python -m benchmarks.architectures --mergekit MERGEKIT/bin/python --json results.json

mergekit lives in an environment of its own: python -m venv MERGEKIT &&
MERGEKIT/bin/pip install mergekit==0.1.5
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.architecture_cases import CASES, Result, name_of

OTHERS = {
    "image-text": (
        *("llava", "qwen2_vl", "qwen3_vl", "gemma3", "mistral3", "llama4", "idefics3", "smolvlm"),
        *("qwen2_5_vl", "internvl", "paligemma", "qwen3_5", "glm4v"),
    ),
    "seq2seq": ("t5", "bart", "mt5", "pegasus"),
    "encoder": ("bert", "modernbert", "roberta"),
}
"""Model types beside the causal ones, by the class that loads them."""

_SECONDS = 300


def main() -> int:
    """Run the matrix; the exit code is 1 if anything is wrong."""
    arguments = _arguments()
    whats = arguments.what.split(",")
    if arguments.mergekit:
        os.environ["MERGEKIT_PYTHON"] = str(arguments.mergekit.absolute())
        whats.append("mergekit")
    results = []
    for result in run_matrix(arguments.only or architectures(), whats):
        results.append(result)
        if arguments.json:  # each time, as it takes long
            arguments.json.write_text(json.dumps([_plain(result) for result in results], indent=1) + "\n")
    _print_totals(results)
    return 1 if any(result.status in {"wrong", "crashed"} for result in results) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="model types; image-text:llava and so on")
    parser.add_argument(
        "--what", default="stack,identity,sharded,orders", help=f"of {sorted({case.what for case in CASES})}"
    )
    parser.add_argument(
        "--mergekit",
        type=Path,
        metavar="PYTHON",
        help="interpreter of an environment that has mergekit; its expansions are judged too",
    )
    parser.add_argument("--json", type=Path, help="write all results there")
    return parser.parse_args()


def architectures() -> list[str]:
    """Return every architecture's name."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES  # noqa: PLC0415

    causal = [name_of("causal", name) for name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES]
    return causal + [name_of(auto, name) for auto, names in OTHERS.items() for name in names]  # type: ignore[arg-type]


def run_matrix(names: Sequence[str], whats: Sequence[str]) -> Iterator[Result]:
    """Yield every result; print each architecture as it is done."""
    waiting = list(names)
    while waiting:
        done: list[str] = []
        for name, results in _work(waiting, whats):
            done.append(name)
            _print(name, results)
            yield from results
        waiting = [name for name in waiting if name not in done]


def _work(names: Sequence[str], whats: Sequence[str]) -> Iterator[tuple[str, list[Result]]]:
    """Yield results of one worker until it is through or dies."""
    command = [sys.executable, "-m", "benchmarks.architecture_cases", ",".join(whats)]
    with tempfile.TemporaryDirectory() as work:
        process = subprocess.Popen(
            [*command, work, *names], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        begun = ""
        for line in process.stdout or ():
            if not line.startswith("{"):
                continue
            said = json.loads(line)
            if "begun" in said:
                begun = said["begun"]
            else:
                yield begun, [Result(**result) for result in said["results"]]
                begun = ""
        code = process.wait()
    if begun or code:
        name = begun or names[0]
        reason = f"the worker ended with exit code {code}"
        yield (
            name,
            [
                Result(architecture=name, what=what, recipe="", status="crashed", reason=reason)
                for what in whats
            ],
        )


def _print(name: str, results: Sequence[Result]) -> None:
    words: dict[str, dict[str, str]] = {}
    for result in results:
        words.setdefault(result.what, {}).setdefault(result.status, result.reason)
    texts = [
        f"{what}: {status.upper() if status != 'pass' else status}{f' ({reason[:150]})' if reason else ''}"
        for what, found in words.items()
        for status, reason in found.items()
    ]
    print(f"{name:28} {'; '.join(texts)}", flush=True)


def _print_totals(results: Sequence[Result]) -> None:
    for what in dict.fromkeys(result.what for result in results):
        worst = worst_by_architecture(results, what)
        counts = {status: list(worst.values()).count(status) for status in dict.fromkeys(worst.values())}
        print(f"{what}: {', '.join(f'{count} {status}' for status, count in counts.items())}")


_ORDER = ("pass", "unbuildable", "refused", "crashed", "wrong")


def worst_by_architecture(results: Sequence[Result], what: str) -> dict[str, str]:
    """Return for each architecture how the worst of its cases of a kind ended."""
    worst: dict[str, str] = {}
    for result in results:
        if result.what == what:
            known = worst.setdefault(result.architecture, result.status)
            worst[result.architecture] = max(known, result.status, key=_ORDER.index)
    return worst


def _plain(result: Result) -> dict[str, str]:
    return {field: getattr(result, field) for field in result.__dataclass_fields__}


if __name__ == "__main__":
    raise SystemExit(main())
