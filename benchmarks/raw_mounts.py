"""What this machine can carry: hosts that read and write through throttled mounts at once, and nothing else.

    python -m benchmarks.raw_mounts --rate 100 --work /dev/shm

The rates of `scaling` must lie below this, as a bottleneck of the simulation
would look like one of the program.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import measure
from benchmarks.hosts import Host, network
from benchmarks.shared_storage import mount, serve

_POINT = Path("/mnt")
# Moves blocks of 16 MiB as the program does; prints seconds.
_MOVE = """
import os, sys, time
kind, path, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
block = memoryview(bytearray(os.urandom(1 << 24)))
start = time.perf_counter()
descriptor = os.open(path, os.O_RDONLY if kind == "read" else os.O_RDWR | os.O_CREAT | os.O_EXCL)
for offset in range(0, size, len(block)):
    if kind == "read":
        assert os.preadv(descriptor, [block], offset) == len(block)
    else:
        assert os.pwrite(descriptor, block, offset) == len(block)
if kind == "write":
    os.fsync(descriptor)
print(time.perf_counter() - start)
"""


def main() -> int:
    """Print megabytes a second of each host and direction for 1, 2 and 4 hosts."""
    parser = measure.argument_parser(__doc__)
    parser.add_argument("--rate", type=float, default=100, help="MB/s of a link in each direction")
    parser.add_argument("--seconds", type=float, default=6, help="how long a link should be busy")
    arguments = parser.parse_args()
    rate = arguments.rate * 1e6
    size = int(rate * arguments.seconds) >> 24 << 24
    with measure.work_directory(arguments.work) as work:
        measure.need_free(work, 8 * size)
        for number in range(4):
            with (work / f"source{number}").open("wb") as file:
                subprocess.run(["head", f"-c{size}", "/dev/urandom"], stdout=file, check=True)
        measure.print_heading(f"Raw mounts behind links of {arguments.rate:g} MB/s each way", work)
        rows = [_row(count, work, rate, size) for count in (1, 2, 4)]
    measure.print_table(["hosts", "reading MB/s each", "writing MB/s each", "processors busy"], rows)
    return 0


def _row(count: int, work: Path, rate: float, size: int) -> list[str]:
    with network() as hosts:
        storage = hosts.add("storage")
        serve(storage)
        nodes = [hosts.add(f"node{number}", rate=rate) for number in range(count)]
        for node in nodes:
            mount(node, storage, work, _POINT)
        busy = _busy_seconds()
        start = time.perf_counter()
        moves = {
            kind: [_move(node, kind, number, size) for number, node in enumerate(nodes)]
            for kind in ("read", "write")
        }
        rates = {
            kind: [size / 1e6 / float(move.communicate()[0]) for move in started]
            for kind, started in moves.items()
        }
        cores = (_busy_seconds() - busy) / (time.perf_counter() - start)
    for path in work.glob("written*"):
        path.unlink()
    return [str(count), _spread(rates["read"]), _spread(rates["write"]), f"{cores:.2f}"]


def _move(node: Host, kind: str, number: int, size: int) -> "subprocess.Popen[bytes]":
    name = f"source{number}" if kind == "read" else f"written{number}"
    return node.start([sys.executable, "-c", _MOVE, kind, _POINT / name, size], stdout=subprocess.PIPE)


def _spread(rates: list[float]) -> str:
    return f"{statistics.median(rates):.1f} ({min(rates):.1f} to {max(rates):.1f})"


def _busy_seconds() -> float:
    """Return what all processors have worked so far, in seconds: everything but idle and waiting."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / 100


if __name__ == "__main__":
    sys.exit(main())
