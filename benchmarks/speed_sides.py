"""The sides that `local_speed` compares: what each is called, and the command that it is.

Every command makes the same output directory, from the same source, in a process of its own.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure
from benchmarks.disk_work import disk_work
from benchmarks.speed_cases import SOURCE, Case

MERGEKIT_WAYS = {"mergekit": (), "mergekit-lazy": ("--lazy-unpickle",), "mergekit-async": ("--async-write",)}
MODES = ("direct", "mixed")
READS = ("each", "once")
_OURS = "import distexpand.api, distexpand.cli.run_command"
_LIMIT = "import benchmarks.disk_limit"
_MERGEKIT = "import mergekit.merge, mergekit.scripts.run_yaml"
_LLAMA_PRO = "import fire, torch, safetensors.torch, transformers.models.auto.modeling_auto"
_SPARE_BYTES = 2 * 10**9
"""What llama_pro needs beside the output's weights: torch, transformers, a shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A command, or in `missing` why there is none.

    `warm` is Python code that imports what the command will import, and `python` what it is
    for: a program's own files shall be in memory before the clock starts, as they are where it
    is used. torch alone is hundreds of megabytes.
    """

    name: str
    command: tuple[str, ...] = ()
    python: str = sys.executable
    warm: str = ""
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Where the other tools are, and with what the sides are called."""

    mergekit: Path
    llama_pro: Path | None
    llama_pro_python: Path
    distexpand_options: tuple[str, ...]
    limit_threads: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Directories of a benchmark: `kept` is a finished output for `cp`, `output` what a side makes."""

    work: Path
    source: Path

    @property
    def output(self) -> Path:
        """What every side makes, and the next one removes."""
        return self.work / "output"

    @property
    def kept(self) -> Path:
        """An output of distexpand that stays for as long as the case."""
        return self.work / "kept"

    def recipe(self, case: Case) -> Path:
        """Return the file of a case's recipe."""
        return self.work / f"{case.name}.yml"


def all_sides(case: Case, places: Places, tools: Tools) -> Iterator[Side]:
    """Yield every side of a case, also those that can't be run here."""
    run = distexpand_command(case, places, tools, places.output)
    yield Side(name="distexpand", command=run, warm=_OURS)
    yield Side(name="distexpand-checked", command=(*run, "--check-load"), warm=f"{_OURS}, transformers")
    yield from _mergekit_sides(case, places, tools)
    yield _llama_pro_side(case, places, tools)
    yield Side(name="cp-source", command=("cp", "-r", str(places.source), str(places.output)))
    yield Side(name="cp-output", command=("cp", "-r", str(places.kept), str(places.output)))
    yield from _limit_sides(case, places, tools)


def distexpand_command(case: Case, places: Places, tools: Tools, output: Path) -> tuple[str, ...]:
    """Return the command that makes a case's output with this checkout."""
    run = ("run", str(places.recipe(case)), str(output), "--model", f"{SOURCE}={places.source}", "--quiet")
    return (*measure.distexpand_command(), *run, *tools.distexpand_options)


def mergekit_command(case: Case, places: Places, tools: Tools, output: Path) -> tuple[str, ...]:
    """Return the command that makes a case's output with mergekit."""
    return (str(tools.mergekit), "--quiet", str(places.recipe(case)), str(output))


def _mergekit_sides(case: Case, places: Places, tools: Tools) -> Iterator[Side]:
    for name, options in MERGEKIT_WAYS.items():
        if not tools.mergekit.exists():
            yield Side(name=name, missing=f"{tools.mergekit} doesn't exist; give --mergekit")
            continue
        command = mergekit_command(case, places, tools, places.output)
        python = str(tools.mergekit.with_name("python"))
        yield Side(name=name, command=(*command, *options), python=python, warm=_MERGEKIT)


def _llama_pro_side(case: Case, places: Places, tools: Tools) -> Side:
    missing = _why_no_llama_pro(case, tools)
    if missing:
        return Side(name="llama-pro", missing=missing)
    command = (
        *(str(tools.llama_pro_python), str(tools.llama_pro)),
        *("--model_name_or_path", str(places.source), "--output_dir", str(places.output)),
        *("--num_expand", str(case.blocks)),
    )
    return Side(name="llama-pro", command=command, python=str(tools.llama_pro_python), warm=_LLAMA_PRO)


def _why_no_llama_pro(case: Case, tools: Tools) -> str:
    if not case.blocks:
        return "the script makes nothing but evenly spread identity blocks"
    if tools.llama_pro is None:
        return "no script was given; --llama-pro takes LLaMA-Factory's scripts/llama_pro.py"
    needed, free = case.output_bytes + _SPARE_BYTES, _available_bytes()
    if needed > free:
        return f"it holds the output in memory: {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
    return ""


def _available_bytes() -> int:
    """Return the memory that a program can get without others being pushed out."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def _limit_sides(case: Case, places: Places, tools: Tools) -> Iterator[Side]:
    for reads in READS:
        work = disk_work(case.plan, places.output, once=reads == "once")
        path = work.save(places.work / f"{case.name}-{reads}.json")
        for mode in MODES:
            for threads in tools.limit_threads:
                options = ("--threads", str(threads), "--mode", mode)
                command = (sys.executable, "-m", "benchmarks.disk_limit", str(path), *options)
                yield Side(name=f"limit-{reads}-{mode}-{threads}", command=command, warm=_LIMIT)
