"""Whole runs to and from S3, beside bare concurrent copies by the clients that they use.

A model of random values lies in a SeaweedFS on this machine. `distexpand run`, from start to finished
output with its manifest, makes as many layers as the model has: bucket to disk, disk to bucket, and
bucket to bucket with every byte read and sent. The bare side is a process that imports the same
clients and moves the same bytes with as many threads, in ranges and parts of the same size, and does
nothing else: no digests, no checks, no state. Server and client share the processors. Sides take turns;
figures are medians of whole processes.

    python -m benchmarks.remote_runs
"""

import argparse
import os
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import measure
from distexpand.storage.address import Address, parse_address
from distexpand.storage.objects.client import object_client, require_obstore
from distexpand.storage.s3.uploads import S3Uploads
from tests.support.seaweedfs import SeaweedFS, started_seaweedfs
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint

RANGE_BYTES = 1 << 24
PART_BYTES = 1 << 23
SHARD_BYTES = 450_000_000
WAYS = {"bucket to disk": ("s3", "disk"), "disk to bucket": ("disk", "s3"), "bucket to bucket": ("s3", "s3")}
OURS, BARE = "distexpand run", "bare copy"


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--bare", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        return _copy(*arguments.bare, threads=arguments.threads)
    with measure.work_directory(arguments.work) as work:
        measure.print_heading("Whole runs to and from S3", work)
        shape = family("llama2-7b", num_layers=arguments.layers, vocab_size=64)
        model = write_checkpoint(work / "model", shape, fill="random", seed=1, shard_size=SHARD_BYTES)
        size = sum(file.stat().st_size for file in model.glob("*.safetensors"))
        print(
            f"{measure.gigabytes(size)}, {arguments.threads} threads, medians of {arguments.rounds} rounds.\n"
        )
        (work / "recipe.yml").write_text(f"{{model: model, layer_map: [[0, {arguments.layers}]]}}\n")
        with started_seaweedfs(parent=work) as server:
            os.environ |= server.environment()
            bucket = server.new_bucket()
            for file in model.iterdir():
                server.client.upload_file(str(file), bucket, f"model/{file.name}")
            rows = [
                row
                for way in WAYS
                for row in _compared(
                    way, work=work, bucket=bucket, server=server, size=size, options=arguments
                )
            ]
        measure.print_table(["way", "side", "seconds", "MB/s", "of bare", "CPU s/GB", "peak memory"], rows)
    return 0


def _compared(
    way: str, *, work: Path, bucket: str, server: SeaweedFS, size: int, options: argparse.Namespace
) -> list[list[str]]:
    places = {"s3": f"s3://{bucket}/model", "disk": str(work / "model")}
    outputs = {"s3": f"s3://{bucket}/out", "disk": str(work / "out")}
    source, output = places[WAYS[way][0]], outputs[WAYS[way][1]]
    figures: dict[str, list[measure.Measured]] = {OURS: [], BARE: []}
    for number in range(options.rounds):
        for side in (OURS, BARE) if number % 2 == 0 else (BARE, OURS):
            figures[side].append(_measured(side, source, output, work=work, threads=options.threads))
            _remove(output, bucket, server, work)
    bare = statistics.median(one.seconds for one in figures[BARE])
    return [_row(way, side, runs, bare_seconds=bare, size=size) for side, runs in figures.items()]


def _measured(side: str, source: str, output: str, *, work: Path, threads: int) -> measure.Measured:
    durable = None if output.startswith("s3:") else work
    if side == OURS:
        command = [*measure.distexpand_command(), "run", str(work / "recipe.yml"), output]
        command += ["--model", f"model={source}", "--no-clone", "--quiet", "--threads", str(threads)]
        command += ["--shard-size", str(SHARD_BYTES)]
    else:
        command = [sys.executable, "-m", "benchmarks.remote_runs", "--bare", source, output]
        command += ["--threads", str(threads)]
    done = measure.run(command, durable=durable)
    if done.code:
        sys.exit(f"{' '.join(command)}: exit code {done.code}\n{done.messages}")
    return done


def _row(way: str, side: str, runs: list[measure.Measured], *, bare_seconds: float, size: int) -> list[str]:
    seconds = statistics.median(one.seconds for one in runs)
    processor = statistics.median(one.processor_seconds for one in runs)
    return [
        way,
        side,
        f"{seconds:.2f}",
        f"{size / seconds / 1e6:.0f}",
        f"{bare_seconds / seconds:.2f}",
        f"{processor / size * 1e9:.2f}",
        measure.megabytes(max(one.peak_bytes for one in runs)),
    ]


def _remove(output: str, bucket: str, server: SeaweedFS, work: Path) -> None:
    if output.startswith("s3:"):
        for key in server.client.list_objects_v2(Bucket=bucket, Prefix="out/").get("Contents", []):
            server.client.delete_object(Bucket=bucket, Key=key["Key"])
        return
    for file in (work / "out").rglob("*"):
        if file.is_file():
            file.unlink()
    for folder in sorted((work / "out").rglob("*"), reverse=True):
        folder.rmdir()
    (work / "out").rmdir()


def _copy(source: str, output: str, *, threads: int) -> int:
    """Move a model's shards, one after another, by the clients alone."""
    with ThreadPoolExecutor(threads) as pool:
        for name, size in _shards(source).items():
            read = _bare_reader(source, name)
            if output.startswith("s3:"):
                _send(output, name, size, read, pool)
            else:
                _store(Path(output), name, size, read, pool)
    return 0


def _shards(source: str) -> dict[str, int]:
    if source.startswith("s3:"):
        listed = require_obstore().list(_client(source)).collect()
        found = {item["path"]: item["size"] for item in listed}
    else:
        found = {file.name: file.stat().st_size for file in Path(source).iterdir()}
    return {name: size for name, size in found.items() if name.endswith(".safetensors")}


def _bare_reader(source: str, name: str) -> Callable[[int, int], object]:
    if source.startswith("s3:"):
        store, obstore = _client(source), require_obstore()
        return lambda offset, length: obstore.get_range(store, name, start=offset, length=length)
    descriptor = os.open(Path(source) / name, os.O_RDONLY)
    return lambda offset, length: os.pread(descriptor, length, offset)


def _store(
    folder: Path, name: str, size: int, read: Callable[[int, int], object], pool: ThreadPoolExecutor
) -> None:
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT)
    os.truncate(descriptor, size)

    def move(offset: int) -> None:
        os.pwrite(descriptor, memoryview(read(offset, min(RANGE_BYTES, size - offset))), offset)  # type: ignore[arg-type]

    list(pool.map(move, range(0, size, RANGE_BYTES)))
    os.fsync(descriptor)
    os.close(descriptor)


def _send(
    output: str, name: str, size: int, read: Callable[[int, int], object], pool: ThreadPoolExecutor
) -> None:
    uploads = S3Uploads(_address(output))
    upload = uploads.begin(name, run="")

    def move(offset: int) -> None:
        # Two parts of a range, as a range is what is worth asking for and a part what is worth sending.
        for part in range(offset, min(offset + RANGE_BYTES, size), PART_BYTES):
            body = bytes(memoryview(read(part, min(PART_BYTES, size - part))))  # type: ignore[arg-type]
            uploads.put_part(upload, part // PART_BYTES + 1, body)

    list(pool.map(move, range(0, size, RANGE_BYTES)))
    parts = uploads.parts(upload)
    assert parts is not None
    uploads.complete(upload, parts)


def _client(place: str) -> object:
    return object_client(_address(place))


def _address(place: str) -> Address:
    address = parse_address(place)
    assert address is not None
    return address


if __name__ == "__main__":
    sys.exit(main())
