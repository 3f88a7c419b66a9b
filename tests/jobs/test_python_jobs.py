"""`distexpand.submit` on a real cluster, also from where an event loop runs, as in a notebook.

In processes of their own: Ray looks at a client's token once in a process.
"""

import subprocess
import sys
from pathlib import Path

from tests.api.small import small_model, tree
from tests.jobs.clients import Client

WIDE = {"hidden_size": 512, "intermediate_size": 1024, "vocab_size": 4000, "num_layers": 8}

MADE = """
import asyncio, os, sys, distexpand

recipe, model, output = sys.argv[1:]
told = []

async def notebook():
    job = distexpand.submit(recipe, output, models={"a": model}, shard_size=5000)
    return job.wait(progress=told.append)

result = asyncio.run(notebook())
assert result.made and result.output == output, result
assert told[0].total_bytes == result.total_bytes
assert (told[-1].share, told[-1].shards_done) == (1, told[-1].shards), told[-1]
job = distexpand.find_job(result.id)
assert (job.address, job.output) == (os.environ["RAY_API_SERVER_ADDRESS"], output), job
status = job.status()
assert (status.status, status.over, status.exit_code) == ("SUCCEEDED", True, 0), status
assert '"event":"ended"' in job.logs()
again = distexpand.submit(recipe, output, address=job.address, models={"a": model}, shard_size="5000B")
assert not again.wait().made
"""

STOPPED = """
import sys, distexpand

model, output = sys.argv[1:]
long = {"model": "a", "repeat": {"layer_range": [0, 8], "times": 40}}
job = distexpand.submit(long, output, models={"a": model}, shard_size="10MB", per_node=1, threads=1)
assert not job.status().over
assert job.stop().status == "STOPPED"
try:
    job.wait()
except distexpand.InterruptedRunError as error:
    assert "was stopped" in str(error), error
else:
    raise AssertionError
"""

REFUSED = """
import sys, distexpand

model, folder = sys.argv[1:]

def refusal(work):
    try:
        work()
    except distexpand.DistexpandError as error:
        return type(error).__name__, error.message
    raise AssertionError

beyond = {"model": "a", "layer_map": [[0, 99]]}
kind, message = refusal(lambda: distexpand.submit(beyond, f"{folder}/out", models={"a": model}).wait())
assert (kind, "99" in message) == ("RecipeError", True), message
kept = f"{folder}/kept.plan"
distexpand.save_plan(distexpand.plan({"layer_map": [[0, 2]]}, model=model), kept)
kind, message = refusal(lambda: distexpand.submit(kept, f"{folder}/out"))
assert (kind, "a saved plan can't be submitted" in message) == ("UsageError", True), message
kind, message = refusal(lambda: distexpand.find_job("distexpand-0000000000000000-1"))
assert "distexpand-0000000000000000-1" in message, message
"""


def _runs(client: Client, program: str, *arguments: object) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=client.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_a_job_makes_the_bytes_of_a_local_run(
    client: Client, recipe: Path, model: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    _runs(client, MADE, recipe, model, tmp_path / "out")
    assert tree(tmp_path / "out") == expected


def test_a_job_is_stopped_and_waiting_for_it_says_so(client: Client, tmp_path: Path) -> None:
    wide = small_model(tmp_path / "a", shard_size=10**9, **WIDE)
    _runs(client, STOPPED, wide, tmp_path / "out")


def test_what_can_t_be_done_is_raised_here(client: Client, model: Path, tmp_path: Path) -> None:
    _runs(client, REFUSED, model, tmp_path)
