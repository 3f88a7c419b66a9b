"""Archives beside zstd, zipnn and lmzip: size, and time there and back, of a real model and of its expansion.

The weights are one file. Everything lies in memory (`/dev/shm`, unless `--work` says otherwise), so
that times are the processor's; the system's own tools don't sync, and here it costs nothing. A time is
that of the whole command, but for zipnn, which is a library: its time is without importing torch.
Sides take turns; medians. What came back is compared each time.

    python -m benchmarks.archive_table --others VENV/bin/python

`--others` is an interpreter with zipnn 0.5.4 and lmzip 1.3.0; without it they are left out.
"""

import filecmp
import json
import random
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import measure
from benchmarks.measure import Measured
from distexpand.demo.model import prepare_model
from distexpand.formats.dtypes import DType
from distexpand.formats.header import encode_header, parse_header
from distexpand.intake.pins import read_header
from distexpand.storage.archives.source import ArchiveSource
from distexpand.storage.local.directories import LocalSource

_MEMORY = Path("/dev/shm")
_NAME = "model.safetensors"
_RECIPE = '{"layer_map": [[0, 20], [10, 30]]}'
_NORMAL_ELEMENTS = 1 << 26
_SLOW = 19
_RANDOM_TENSORS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A way to pack and to unpack one file; commands from paths of what is read and of what is made."""

    name: str
    pack: Callable[[Path, Path], Sequence[str]]
    unpack: Callable[[Path, Path], Sequence[str]]
    slow: bool = False
    tells: bool = False
    """Whether it prints its own seconds."""


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--others", help="interpreter with zipnn and lmzip")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="sides whose names begin so")
    parser.add_argument("--without-slow", action="store_true", help=f"leave zstd -{_SLOW} out")
    arguments = parser.parse_args()
    parent = _MEMORY if arguments.work is None and _MEMORY.exists() else arguments.work
    with measure.work_directory(parent) as work:
        measure.need_free(work, 4_000_000_000)
        measure.print_heading("archives", work)
        sides = [
            side
            for side in _sides(arguments.others)
            if side.name.startswith(arguments.only) and not (side.slow and arguments.without_slow)
        ]
        for title, weights in _cases(work):
            _measure_case(title, weights, sides, work, rounds=arguments.rounds)
        _random_tensors(work)
    return 0


def _cases(work: Path) -> Iterator[tuple[str, Path]]:
    """Yield each case's title and its weights, alone in a directory."""
    model = prepare_model(work / "smollm2")
    yield "SmolLM2-135M-Instruct", _alone(model, work / "own")
    recipe = work / "recipe.json"
    recipe.write_text(_RECIPE)
    measure.run_distexpand("run", recipe, work / "expanded", "--model", model, "--quiet")
    yield "its expansion `[[0,20],[10,30]]`", _alone(work / "expanded", work / "twice")
    yield "normally distributed values in bf16", _normal(work / "normal")


def _alone(model: Path, folder: Path) -> Path:
    folder.mkdir()
    return Path(shutil.copy(model / _NAME, folder / _NAME))


def _normal(folder: Path) -> Path:
    folder.mkdir()
    values = np.random.Generator(np.random.SFC64(1)).standard_normal(_NORMAL_ELEMENTS, dtype=np.float32)
    rounded = (values * np.float32(0.02)).view(np.uint32) + 0x8000 >> 16
    raw = rounded.astype(np.uint16).tobytes()
    (folder / _NAME).write_bytes(encode_header([("w", DType.BF16, (_NORMAL_ELEMENTS,))], {}) + raw)
    return folder / _NAME


def _sides(others: str | None) -> Iterator[Side]:
    for form, option in (("plain", ()), ("dense", ("--dense",))):
        for threads in ("1", "2"):
            yield _own(f"distexpand, {form}, {threads} threads", (*option, "--threads", threads))
    for level in (3, _SLOW):
        for threads in ("1", "2"):
            yield _zstd(level, threads)
    if others:
        for threads in ("1", "2"):
            yield _zipnn(others, threads)
            yield _lmzip(others, threads)


def _own(name: str, options: Sequence[str]) -> Side:
    return Side(
        name=name,
        pack=lambda weights, made: [
            *measure.distexpand_command(), "pack", str(weights.parent), str(made), *options, "--quiet",
        ],
        unpack=lambda made, back: [
            *measure.distexpand_command(), "unpack", str(made), str(back), *options[-2:], "--quiet",
        ],
    )  # fmt: skip


def _zstd(level: int, threads: str) -> Side:
    return Side(
        name=f"zstd -{level} -T{threads}",
        pack=lambda weights, made: ["zstd", "-q", f"-{level}", f"-T{threads}", str(weights), "-o", str(made)],
        unpack=lambda made, back: ["zstd", "-q", "-d", str(made), "-o", str(back)],
        slow=level == _SLOW,
    )


def _zipnn(others: str, threads: str) -> Side:
    def command(what: str, source: Path, target: Path) -> Sequence[str]:
        script = str(Path(__file__).with_name("archive_others.py"))
        return [others, "-W", "ignore", script, what, str(source), str(target), threads]

    return Side(
        name=f"zipnn, {threads} threads",
        pack=lambda weights, made: command("compress", weights, made),
        unpack=lambda made, back: command("decompress", made, back),
        tells=True,
    )


def _lmzip(others: str, threads: str) -> Side:
    return Side(
        name=f"lmzip, {threads} threads",
        pack=lambda weights, made: [
            others, "-m", "lmz", "compress", "-q", "-j", threads, str(weights), str(made),
        ],
        unpack=lambda made, back: [
            others, "-m", "lmz", "decompress", "-q", "-j", threads, str(made), str(back),
        ],
    )  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Figures:
    """What a side did: bytes, and the measurements of each round."""

    size: int
    packed: list[Measured]
    unpacked: list[Measured]


def _measure_case(title: str, weights: Path, sides: Sequence[Side], work: Path, *, rounds: int) -> None:
    figures: dict[str, Figures] = {}
    for number in range(rounds):
        for side in sides:
            if number == 0 or not side.slow:
                _measure_side(side, weights, work, figures)
    size = weights.stat().st_size
    print(f"### {title}: {size / 1e6:.1f} MB\n")
    headings = ("", "MB", "of it", "pack s", "CPU s", "MB/s", "peak", "unpack s", "CPU s", "MB/s", "peak")
    rows = [_row(name, found, size) for name, found in figures.items()]
    measure.print_table(headings, rows)
    slow = figures.get(f"zstd -{_SLOW} -T1")
    if slow is not None:
        for name in sorted(
            figures.keys() & {f"distexpand, {form}, 1 threads" for form in ("plain", "dense")}
        ):
            found = figures[name]
            faster = _median(slow.packed, "seconds") / _median(found.packed, "seconds")
            print(f"{name}: {found.size / slow.size:.3f} of the size of zstd -19, {faster:.0f} times as fast")
        print(flush=True)


def _measure_side(side: Side, weights: Path, work: Path, figures: dict[str, Figures]) -> None:
    made, back = work / "made", work / "back"
    packed = _run(side, side.pack(weights, made))
    unpacked = _run(side, side.unpack(made, back))
    files = [path for path in [made, *made.rglob("*")] if path.is_file()]
    restored = back / _NAME if back.is_dir() else back
    if not filecmp.cmp(restored, weights, shallow=False):
        sys.exit(f"{side.name}: what came back isn't what was packed")
    found = figures.setdefault(side.name, Figures(size=0, packed=[], unpacked=[]))
    found.size = sum(path.stat().st_size for path in files)
    found.packed.append(packed)
    found.unpacked.append(unpacked)
    for path in (made, back):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _run(side: Side, command: Sequence[str]) -> Measured:
    measured = measure.run(command)
    if measured.code != 0:
        sys.exit(f"{side.name}: exit code {measured.code}\n{measured.messages}")
    if not side.tells:
        return measured
    told = json.loads(measured.output.splitlines()[-1])
    return Measured(code=0, peak_bytes=measured.peak_bytes, output="", messages="", **told)


def _row(name: str, found: Figures, size: int) -> list[str]:
    row = [name, f"{found.size / 1e6:.1f}", f"{found.size / size:.1%}"]
    for measured in (found.packed, found.unpacked):
        seconds = _median(measured, "seconds")
        row += [
            f"{seconds:.2f}",
            f"{_median(measured, 'processor_seconds'):.2f}",
            f"{size / seconds / 1e6:.0f}",
        ]
        row.append(measure.megabytes(max(one.peak_bytes for one in measured)))
    return row


def _median(measured: Sequence[Measured], field: str) -> float:
    return statistics.median(getattr(one, field) for one in measured)


def _random_tensors(work: Path) -> None:
    """Read tensors out of the expansion's archives, as a store is read: by ranges."""
    rows = []
    for form, option in (("plain", ()), ("dense", ("--dense",))):
        archive = work / f"archive-{form}"
        measure.run_distexpand("pack", work / "twice", archive, *option, "--quiet")
        source = ArchiveSource(LocalSource(archive))
        raw, size = read_header(source, _NAME)
        tensors = list(parse_header(raw, file_size=size, origin=_NAME).tensors.values())
        chosen = random.Random(1).choices(tensors, k=_RANDOM_TENSORS)
        seconds, shares = [], []
        for tensor in chosen:
            begun = time.perf_counter()
            reader = source.open(_NAME)
            buffer = memoryview(bytearray(tensor.length))
            reader.read_into(tensor.offset, buffer)
            reader.close()
            seconds.append(time.perf_counter() - begun)
            touched = source.frames(_NAME).touched(tensor.offset, tensor.length)
            shares.append(sum(frame.length for frame in touched))
        rows.append(
            [
                form,
                f"{sum(tensor.length for tensor in chosen) / 1e6:.1f} MB",
                f"{sum(shares) / 1e6:.1f} MB",
                f"{statistics.median(seconds) * 1000:.1f} ms",
            ]
        )
    print(f"### {_RANDOM_TENSORS} tensors at random\n")
    measure.print_table(("", "asked for", "decompressed", "each, median"), rows)


if __name__ == "__main__":
    sys.exit(main())
