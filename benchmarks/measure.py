"""Running a command while measuring it, and showing results: shared by the benchmarks.

Peak memory is `ru_maxrss` of the command alone. Linux lets a process start
with the peak of the one that forked it, so that a benchmark that holds numpy
or torch would measure itself: a small helper process (`python -m
benchmarks.measure COMMAND...`) starts the command and reports its figures.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A finished command: seconds by the clock and of the processor, and bytes of memory at its peak.

    `read_bytes` and `written_bytes` are what it moved between memory and disk: pages that were
    in the page cache already weren't read, and pages of zeros that a file system only promises
    weren't written.
    """

    code: int
    seconds: float
    processor_seconds: float
    peak_bytes: int
    output: str
    messages: str
    read_bytes: int = 0
    written_bytes: int = 0


def distexpand_command() -> list[str]:
    """Return how to start this checkout's program with this Python."""
    return [sys.executable, "-m", "distexpand"]


def environment() -> dict[str, str]:
    """Return the environment for child processes: this checkout is found, no hub is asked.

    A run there doesn't prove that its output loads, which takes seconds whatever the size.
    """
    return os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "DISTEXPAND_CHECK_LOAD": "0"}


def run(command: Sequence[str], *, cwd: Path | None = None, durable: Path | None = None) -> Measured:
    """Run a command to its end and measure it.

    With `durable`, a directory, the clock stops when all of its file system is on the disk too.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as messages, _figures_file() as figures:
        helper = [sys.executable, "-m", "benchmarks.measure", str(figures), str(durable or ""), *command]
        subprocess.run(
            helper, cwd=cwd or ROOT, env=environment(), stdout=output, stderr=messages, check=False
        )
        output.seek(0)
        messages.seek(0)
        return Measured(
            **json.loads(figures.read_text()),
            output=output.read().decode(errors="replace"),
            messages=messages.read().decode(errors="replace"),
        )


def run_distexpand(*arguments: str | Path, expect: int = 0) -> Measured:
    """Run `distexpand` with arguments; end the benchmark if it exits otherwise than expected."""
    measured = run([*distexpand_command(), *map(str, arguments)])
    if measured.code != expect:
        shown = " ".join(map(str, arguments))
        sys.exit(f"distexpand {shown}: exit code {measured.code}, expected {expect}\n{measured.messages}")
    return measured


@contextmanager
def _figures_file() -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        yield Path(file.name)


@contextmanager
def work_directory(parent: Path | None) -> Iterator[Path]:
    """Give a directory for big files and remove it afterwards, also after an error."""
    directory = Path(tempfile.mkdtemp(prefix="distexpand-benchmark-", dir=parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def argument_parser(docstring: str) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark takes."""
    parser = argparse.ArgumentParser(
        description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="directory for big files (removed afterwards)")
    return parser


def need_free(directory: Path, size: int) -> None:
    """End the benchmark when a file system has less than `size` bytes free."""
    free = shutil.disk_usage(directory).free
    if free < size:
        sys.exit(f"{directory}: needs {size / 1e9:.0f} GB free, has {free / 1e9:.0f}")


def print_heading(title: str, work: Path) -> None:
    """Print what was measured, when and on what."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    print(f"## {title}\n")
    print(
        f"{datetime.now(UTC):%Y-%m-%d}; {_processor()}, {os.cpu_count()} cores, {memory / 2**30:.0f} GiB; "
        f"{_file_system(work)}; Linux {platform.release()}; Python {platform.python_version()}\n"
    )


def print_table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a markdown table."""
    print("| " + " | ".join(headings) + " |")
    print("|" + "---|" * len(headings))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def megabytes(size: int) -> str:
    """Return bytes as MB (10**6)."""
    return f"{size / 1e6:.0f} MB"


def gigabytes(size: int) -> str:
    """Return bytes as GB (10**9)."""
    return f"{size / 1e9:.2f} GB"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(directory: Path) -> str:
    command = ["stat", "--file-system", "--format=%T", str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _measure_here(figures: Path, durable: str, command: Sequence[str]) -> None:
    """Run a command as a child of this small process and write its figures as JSON."""
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if durable:
        subprocess.run(["sync", "--file-system", durable], check=True)
    document = {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": time.perf_counter() - start,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * 1024,
        "read_bytes": usage.ru_inblock * 512,
        "written_bytes": usage.ru_oublock * 512,
    }
    figures.write_text(json.dumps(document))


if __name__ == "__main__":
    _measure_here(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
