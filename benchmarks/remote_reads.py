"""Reading from a store on a network, beside the same client's bare ranges, without what a slow link hides.

One large object on this machine, in SeaweedFS and on a plain web server, is read in blocks by
a few threads: by the package's reader, which fills a buffer of each thread, checks versions and could go
on after a fault; and by bare `get_range` of the client below it, whose result is either
dropped or copied into such a buffer. Server and reader share the processor, so that its seconds
count as much as the clock. Sides take turns; figures are medians.

    python -m benchmarks.remote_reads
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from subprocess import PIPE, Popen
from threading import local

from benchmarks import measure
from distexpand.storage.address import Address, parse_address
from distexpand.storage.objects.client import object_client, require_obstore
from distexpand.storage.objects.source import ObjectSource
from tests.support.range_server import range_server
from tests.support.seaweedfs import started_seaweedfs

_NAME = "object"
_PART_BYTES = 1 << 26
OURS, DROPPED, COPIED = "reader", "bare, dropped", "bare, copied"


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--size", type=int, default=1 << 30, help="bytes of the object")
    parser.add_argument("--block", type=int, default=1 << 24, help="bytes of a read")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return _serve(arguments.size)
    if arguments.side:
        return _read(arguments, *arguments.side)
    with measure.work_directory(arguments.work) as work:
        measure.print_heading("Reading from a place on a network", work)
    size = f"{measure.gigabytes(arguments.size)} in reads of {arguments.block / 2**20:.0f} MiB"
    print(f"{size} by {arguments.threads} threads, medians of {arguments.rounds} rounds.\n")
    rows = [*_rows("web server", _web, arguments), *_rows("SeaweedFS", _seaweedfs, arguments)]
    measure.print_table(["server", "side", "GB/s", "of bare, copied", "CPU s/GB", "peak memory"], rows)
    return 0


def _rows(
    server: str, started: Callable[[int], Iterator[str]], arguments: argparse.Namespace
) -> list[list[str]]:
    figures: dict[str, list[tuple[float, float, int]]] = {OURS: [], DROPPED: [], COPIED: []}
    with contextmanager(started)(arguments.size) as place:
        for number in range(arguments.rounds):
            sides = list(figures)
            for side in sides[number % 3 :] + sides[: number % 3]:
                figures[side].append(_measured(arguments, side, place))
    medians = {
        side: [statistics.median(column) for column in zip(*runs, strict=True)]
        for side, runs in figures.items()
    }
    return [
        [
            server,
            side,
            f"{arguments.size / seconds / 1e9:.2f}",
            f"{medians[COPIED][0] / seconds:.2f}",
            f"{processor / arguments.size * 1e9:.2f}",
            measure.megabytes(int(peak)),
        ]
        for side, (seconds, processor, peak) in medians.items()
    ]


def _measured(arguments: argparse.Namespace, side: str, place: str) -> tuple[float, float, int]:
    options = [f"--{name}={getattr(arguments, name)}" for name in ("size", "block", "threads")]
    run = measure.run([sys.executable, "-m", "benchmarks.remote_reads", *options, "--side", side, place])
    if run.code:
        sys.exit(run.messages)
    seconds, processor = map(float, run.output.split())
    return seconds, processor, run.peak_bytes


def _read(arguments: argparse.Namespace, side: str, place: str) -> int:
    address = parse_address(place)
    assert address
    threads = local()
    read_block = _reader(side, address)

    def read(offset: int) -> None:
        if not hasattr(threads, "buffer"):
            threads.buffer = memoryview(bytearray(arguments.block))
        read_block(offset, threads.buffer)

    blocks = range(0, arguments.size, arguments.block)
    with ThreadPoolExecutor(arguments.threads) as pool:
        list(pool.map(read, blocks[: 2 * arguments.threads]))
        start, processor = time.perf_counter(), time.process_time()
        list(pool.map(read, blocks))
        print(time.perf_counter() - start, time.process_time() - processor)
    return 0


def _reader(side: str, address: Address) -> Callable[[int, memoryview], None]:
    if side == OURS:
        return ObjectSource(address).open(_NAME).read_into
    client, obstore = object_client(address), require_obstore()

    def drop(offset: int, buffer: memoryview) -> None:
        obstore.get_range(client, _NAME, start=offset, length=len(buffer))

    def copy(offset: int, buffer: memoryview) -> None:
        buffer[:] = memoryview(obstore.get_range(client, _NAME, start=offset, length=len(buffer)))

    return drop if side == DROPPED else copy


def _serve(size: int) -> int:
    with range_server() as server:
        server.put(f"model/{_NAME}", os.urandom(1 << 20) * (size >> 20), tag="1")
        print(server.endpoint, flush=True)
        sys.stdin.read()
    return 0


def _web(size: int) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.remote_reads", "--serve", f"--size={size}"]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True, env=measure.environment()) as process:
        assert process.stdin
        assert process.stdout
        yield f"{process.stdout.readline().strip()}/model"
        process.stdin.close()


def _seaweedfs(size: int) -> Iterator[str]:
    with started_seaweedfs() as server:
        os.environ |= server.environment()
        bucket = server.new_bucket()
        upload = {"Bucket": bucket, "Key": f"model/{_NAME}"}
        upload["UploadId"] = server.client.create_multipart_upload(**upload)["UploadId"]
        parts = []
        for number in range(1, size // _PART_BYTES + 1):
            sent = server.client.upload_part(**upload, PartNumber=number, Body=os.urandom(_PART_BYTES))
            parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        server.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        yield f"s3://{bucket}/model"


if __name__ == "__main__":
    sys.exit(main())
