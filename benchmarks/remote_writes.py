"""Writing to S3, beside the same client's bare multipart uploads of as many bytes, parts and threads.

Shards of a model that lies in the page cache are written by the local runner to uploads that it
streams to; the bare side sends parts of the same size from memory, and from the same files read part by
part. Once to SeaweedFS, which shares the processor and is slower than either, and once to a server
that throws all away, which shows what the client itself can do. Sides take turns; figures are
medians. Then the memory of whole runs: copies, repeated layers, and layers with tensors of zeros,
whose neighbours wait for them in their parts.

    python -m benchmarks.remote_writes
"""

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

from benchmarks import measure
from distexpand.api import plan_expansion
from distexpand.engine.receipt import Receipt
from distexpand.planning.model import Plan
from distexpand.report.watching.display import NoProgress
from distexpand.runner.local import MOST_TOGETHER_BYTES, run_local
from distexpand.runner.sources import open_sources
from distexpand.storage.address import Address
from distexpand.storage.objects.part_grid import LEAST_PART
from distexpand.storage.s3.attempt import S3Output
from distexpand.storage.s3.uploads import S3Uploads, Upload, upload_of
from tests.support.seaweedfs import started_seaweedfs
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint

RUN, FROM_MEMORY, FROM_FILES = "run", "bare, from memory", "bare, from files"
RECIPES = {
    "copies": "{model: model, layer_map: [[0, {0}], [0, {0}], [0, {0}]]}",
    "repeated": "{model: model, layer_map: [[0, 1], [0, 1], [0, {0}], [0, 1]]}",
    "zeros": "{model: model, block_expansion: {blocks: {0}, where: interleaved}}",
}
SHARD_BYTES = 450_000_000


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=2, help="of 0.4 GB each")
    parser.add_argument("--server", default="", choices=("SeaweedFS", "discarding"), help="one alone")
    parser.add_argument("--recipe", default="copies", help=argparse.SUPPRESS)
    parser.add_argument("--side", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        return _write(arguments, *arguments.side)
    with measure.work_directory(arguments.work) as work:
        measure.print_heading("Writing to S3", work)
        model = work / "model"
        shape = family("llama2-7b", num_layers=arguments.layers, vocab_size=64)
        write_checkpoint(model, shape, fill="random", seed=1, shard_size=SHARD_BYTES)
        for server, started in (("SeaweedFS", _seaweedfs), ("discarding", _discarding)):
            if arguments.server not in {"", server}:
                continue
            with contextmanager(started)() as bucket:
                _compare(arguments, server, model, bucket)
                if server == "discarding":
                    _print_memory(arguments, model, bucket)
    return 0


def _compare(arguments: argparse.Namespace, server: str, model: Path, bucket: str) -> None:
    figures: dict[str, list[tuple[float, float, int]]] = {RUN: [], FROM_MEMORY: [], FROM_FILES: []}
    for number in range(arguments.rounds):
        sides = list(figures)
        for side in sides[number % 3 :] + sides[: number % 3]:
            figures[side].append(_measured(arguments, side, model, bucket))
    size = sum(shard.size for shard in _plan("copies", model).shards)
    medians = {
        side: [statistics.median(column) for column in zip(*runs, strict=True)]
        for side, runs in figures.items()
    }
    print(
        f"{server}: {measure.gigabytes(size)} in parts of {LEAST_PART >> 20} MiB by {arguments.threads} "
        f"threads, medians of {arguments.rounds} rounds.\n"
    )
    measure.print_table(
        ["side", "MB/s", "of bare, from files", "CPU s/GB", "peak memory"],
        [
            [
                side,
                f"{size / seconds / 1e6:.0f}",
                f"{medians[FROM_FILES][0] / seconds:.2f}",
                f"{processor / size * 1e9:.2f}",
                measure.megabytes(int(peak)),
            ]
            for side, (seconds, processor, peak) in medians.items()
        ],
    )


def _print_memory(arguments: argparse.Namespace, model: Path, bucket: str) -> None:
    rows = []
    for recipe in RECIPES:
        _, _, peak = _measured(arguments, RUN, model, bucket, recipe=recipe)
        plan = _plan(recipe, model)
        size = sum(shard.size for shard in plan.shards)
        rows.append([recipe, len(plan.shards), measure.gigabytes(size), measure.megabytes(peak)])
    print(f"Runs by {arguments.threads} threads.\n")
    measure.print_table(["recipe", "shards", "output", "peak memory"], rows)


def _measured(
    arguments: argparse.Namespace, side: str, model: Path, bucket: str, *, recipe: str = "copies"
) -> tuple[float, float, int]:
    command = [sys.executable, "-m", "benchmarks.remote_writes", f"--threads={arguments.threads}"]
    run = measure.run([*command, f"--recipe={recipe}", "--side", side, str(model), bucket])
    if run.code:
        sys.exit(run.messages)
    seconds, processor = map(float, run.output.split())
    return seconds, processor, run.peak_bytes


def _plan(recipe: str, model: Path) -> Plan:
    places = {"model": str(model)}
    layers = json.loads((model / "config.json").read_text())["num_hidden_layers"]
    return plan_expansion(
        RECIPES[recipe].replace("{0}", str(layers)), origin="recipe", places=places, shard_size=SHARD_BYTES
    ).plan


def _write(arguments: argparse.Namespace, side: str, model: str, bucket: str) -> int:
    plan = _plan(arguments.recipe, Path(model))
    uploads = S3Uploads(Address(scheme="s3", root=bucket, path="out"))
    start, processor = time.perf_counter(), time.process_time()
    if side == RUN:
        # Compared are as many bytes read as sent; the memory of shards made together is another matter.
        together = 0 if arguments.recipe == "copies" else MOST_TOGETHER_BYTES
        _run(plan, uploads, arguments.threads, together=together)
    else:
        _upload(plan, uploads, arguments.threads, from_files=side == FROM_FILES, model=Path(model))
    print(time.perf_counter() - start, time.process_time() - processor)
    return 0


class _Completing:
    """An outlet that completes uploads and keeps no state, as the bare side does."""

    finished = False

    def __init__(self, plan: Plan, uploads: S3Uploads) -> None:
        self.plan = plan
        self.receipts: dict[str, Receipt] = {}
        self._uploads = uploads

    def hold_sources(self, stamps: object) -> None:
        del stamps

    def commit(self, receipt: Receipt) -> None:
        _finish(self._uploads, upload_of(receipt.shard, receipt.attempt))

    def publish(self, side_files: object) -> None:
        del side_files

    def close(self) -> None:
        pass


def _run(plan: Plan, uploads: S3Uploads, threads: int, *, together: int) -> None:
    store = S3Output(uploads.address, client=uploads.client)
    with open_sources(plan) as readers:
        run_local(
            _Completing(plan, uploads),  # type: ignore[arg-type]
            readers,
            output=lambda _: store,
            threads=threads,
            stop=threading.Event(),
            progress=NoProgress(),
            together=together,
        )


def _upload(plan: Plan, uploads: S3Uploads, threads: int, *, from_files: bool, model: Path) -> None:
    """Send as many bytes as the shards have, in the same parts."""
    files = sorted(model.glob("*.safetensors"))
    descriptors = [os.open(file, os.O_RDONLY) for file in files]
    sizes = [file.stat().st_size for file in files]
    memory = bytearray(os.urandom(LEAST_PART))
    own = threading.local()

    def send(upload: Upload, index: int, source: int, length: int) -> None:
        body = memory
        if from_files:
            if not hasattr(own, "body"):
                own.body = bytearray(LEAST_PART)
            body = own.body
            offset = index * LEAST_PART % max(sizes[source] - LEAST_PART, 1)
            os.preadv(descriptors[source], [body], offset)
        uploads.client.upload_part(
            Bucket=uploads.address.root,
            Key=uploads.key(upload.path),
            UploadId=upload.id,
            PartNumber=index + 1,
            Body=body if length == LEAST_PART else bytes(body[:length]),
        )

    with ThreadPoolExecutor(threads) as pool:
        for number, shard in enumerate(plan.shards):
            upload = uploads.begin(shard.name, run="")
            parts = -(-shard.size // LEAST_PART)
            source = number % len(files)
            list(
                pool.map(
                    lambda i, upload=upload, source=source, size=shard.size: send(
                        upload, i, source, min(LEAST_PART, size - i * LEAST_PART)
                    ),
                    range(parts),
                )
            )
            _finish(uploads, upload)
    for descriptor in descriptors:
        os.close(descriptor)


def _finish(uploads: S3Uploads, upload: Upload) -> None:
    if uploads.address.root == "discarded":
        uploads.abort(upload)
        return
    parts = uploads.parts(upload)
    assert parts is not None
    uploads.complete(upload, parts)
    uploads.client.delete_object(Bucket=uploads.address.root, Key=uploads.key(upload.path))


def _seaweedfs() -> Iterator[str]:
    with started_seaweedfs() as server:
        os.environ |= server.environment()
        yield server.new_bucket()


def _discarding() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.discarding_store"]
    with Popen(command, stdout=PIPE, text=True, env=measure.environment()) as process:
        assert process.stdout
        keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "us-east-1"}
        os.environ |= {**keys, "AWS_ENDPOINT_URL": process.stdout.readline().strip()}
        try:
            yield "discarded"
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
