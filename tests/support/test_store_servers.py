"""The servers that other tests build on do what these rely on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.batch.batches import until

FILES = {"a": b"1234", "folder/späť kľúč.json": b"{}"}


def test_buckets_are_apart_and_hold_what_was_put(seaweedfs, bucket):
    seaweedfs.put(bucket, FILES)
    assert seaweedfs.contents(bucket) == FILES
    assert seaweedfs.contents(seaweedfs.new_bucket()) == {}


def test_containers_are_apart_and_hold_what_was_put(azurite, container):
    azurite.put(container, FILES)
    assert azurite.contents(container) == FILES
    assert azurite.contents(azurite.new_container()) == {}


@pytest.mark.skipif(not Path("/usr/bin/setpriv").exists(), reason="setpriv isn't installed")
def test_a_server_dies_with_tests_that_are_killed(tmp_path):
    program = (
        "from pathlib import Path; from tests.support.server_process import server_process\n"
        "with server_process(['sleep', '60'], directory=Path(), is_ready=lambda: True) as process:\n"
        "    print(process.pid, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as tests:
        server = Path(f"/proc/{tests.stdout.readline().strip()}")
        until(lambda: (server / "cmdline").read_bytes().startswith(b"sleep"))
        tests.kill()
        tests.wait()
    until(lambda: not server.exists() or (server / "stat").read_text().rpartition(")")[2].split()[0] == "Z")
