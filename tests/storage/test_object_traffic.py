"""What reading from a place on a network costs: requests, bytes, memory."""

import json
import mmap
import subprocess
import sys
from pathlib import Path

import pytest

from distexpand.intake.checkpoint import read_checkpoint
from distexpand.intake.pins import read_header
from distexpand.recipe.canonical import ModelRef
from distexpand.storage.address import Address
from distexpand.storage.objects.reader import HEAD_BYTES
from distexpand.storage.objects.source import ObjectSource
from tests.storage.contract import noise, read
from tests.support.fault_proxy import fault_proxy
from tests.support.range_server import range_server
from tests.support.sparse import write_checkpoint
from tests.support.store_environment import set_store_environment

MEBIBYTE = 2**20


@pytest.fixture
def server(monkeypatch):
    set_store_environment(monkeypatch, {})
    with range_server() as server:
        yield server


@pytest.fixture
def proxy(server):
    with fault_proxy(server.endpoint) as proxy:
        yield proxy


def source(endpoint, path="model"):
    return ObjectSource(Address(scheme="http", root=endpoint.partition("//")[2], path=path))


def test_opening_alone_costs_nothing(proxy):
    source(proxy.endpoint).open("file").close()
    assert not proxy.traffic.log


def test_a_header_costs_one_request(server, proxy):
    header = json.dumps({"__metadata__": {"padding": "x" * 100_000}}).encode()
    raw = len(header).to_bytes(8, "little") + header + noise(MEBIBYTE)
    server.put("model/model.safetensors", raw)
    found, size = read_header(source(proxy.endpoint), "model.safetensors")
    assert (found[8:], size) == (header, len(raw))
    assert [(request.method, request.range) for request in proxy.traffic.log] == [
        ("GET", f"bytes=0-{HEAD_BYTES - 1}")
    ]


def test_a_file_that_is_read_whole_costs_its_bytes_once(server, proxy):
    raw = noise(MEBIBYTE)
    server.put("model/tokenizer.json", raw)
    opened = source(proxy.endpoint)
    assert opened.files() == {"tokenizer.json": MEBIBYTE}
    proxy.traffic.log.clear()
    reader = opened.open("tokenizer.json")
    assert read(reader, 0, reader.size) == raw
    assert [request.method for request in proxy.traffic.log] == ["GET"]
    assert proxy.traffic.to_client < 1.02 * MEBIBYTE


def test_being_unchanged_costs_a_head(server, proxy):
    server.put("model/file", noise(MEBIBYTE))
    reader = source(proxy.endpoint).open("file")
    assert reader.size == MEBIBYTE
    before = proxy.traffic.to_client
    reader.check_unchanged()
    assert proxy.traffic.requests == {"GET": 1, "HEAD": 1}
    assert proxy.traffic.to_client - before < 1000


def test_ranges_cost_their_bytes_once(server, proxy):
    server.put("model/file", noise(4 * MEBIBYTE))
    reader = source(proxy.endpoint).open("file")
    assert reader.size == 4 * MEBIBYTE
    for start in range(0, 4 * MEBIBYTE, MEBIBYTE):
        read(reader, start, MEBIBYTE)
    assert proxy.traffic.to_client < 1.02 * (4 * MEBIBYTE + HEAD_BYTES)


def test_planning_with_two_models_of_70b_moves_a_few_megabytes(server, proxy, tmp_path):
    write_checkpoint(tmp_path, "llama2-70b", shard_size=10**10)
    for path in tmp_path.iterdir():
        with path.open("rb") as file:
            whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        for model in ("first", "second"):
            server.put(f"{model}/{path.name}", whole, tag=path.name)
    found = [
        read_checkpoint(ModelRef(name=model), source(proxy.endpoint, model)) for model in ("first", "second")
    ]
    assert [len(checkpoint.catalog.files) for checkpoint in found] == [15, 15]
    assert sum(file.size for checkpoint in found for file in checkpoint.catalog.files.values()) > 270 * 10**9
    assert proxy.traffic.to_client + proxy.traffic.to_server < 10 * MEBIBYTE


READS = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from distexpand.storage.address import Address
from distexpand.storage.objects.source import ObjectSource

reader = ObjectSource(Address(scheme="http", root=sys.argv[1])).open("file")
threads, block = 4, 16 << 20
buffers = [memoryview(bytearray(block)) for _ in range(threads)]
for buffer in buffers:
    for start in range(0, block, 4096):
        buffer[start] = 1
reader.read_into(0, buffers[0][:1 << 20])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
with ThreadPoolExecutor(threads) as pool:
    list(pool.map(lambda n: reader.read_into(n * block, buffers[n]), range(threads)))
print(peak() - before)
"""


def test_reading_holds_little_more_than_the_buffers(server):
    server.put("file", noise(64 * MEBIBYTE))
    place = server.endpoint.partition("//")[2]
    run = subprocess.run(
        [sys.executable, "-c", READS, place],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert int(run.stdout) * 1024 < 24 * MEBIBYTE
