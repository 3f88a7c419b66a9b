"""Whole runs on bad networks: python -m benchmarks.remote_faults [--runs 250] [--first SEED] [--json FILE].

Sources on a web server, in S3 or on a Hub, outputs on a disk, in S3 or on a Hub, with proxies in
between that delay, cut, refuse, truncate and stall, and sources that are replaced during the run.
Each run has to give the bytes of a local run or a clear error; after an error, resuming over a good
network has to give them.
"""

import argparse
import json
import tempfile
import warnings
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from tests.elsewhere.fault_runs import Told, case_of, run_case, world
from tests.support.seaweedfs import started_seaweedfs


def main() -> None:
    """Run and report; the exit code is 1 if any run ended wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--runs", type=int, default=250)
    parser.add_argument("--first", type=int, default=1000, help="seed of the first run")
    parser.add_argument("--json", type=Path, help="where every run is written to")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="Use 'content=", category=DeprecationWarning)
    told = []
    with (
        tempfile.TemporaryDirectory(prefix="distexpand-faults-") as folder,
        started_seaweedfs(parent=Path(folder)) as seaweedfs,
        world(Path(folder) / "world", seaweedfs) as servers,
    ):
        for seed in range(options.first, options.first + options.runs):
            told.append(run_case(servers, case_of(seed)))
            _print(told[-1])
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in told], indent=1))
    _summarise(told)
    raise SystemExit(any(one.wrong for one in told))


def _print(one: Told) -> None:
    case = one.case
    ended = f"WRONG: {one.wrong}" if one.wrong else f"error: {one.error}" if one.error else "right"
    replaced = "" if case.replace_after is None else f" source replaced at {case.replace_after}"
    print(
        f"{case.seed} {case.read} to {case.written} rate {case.rate}{replaced}: "
        f"{one.faults} faults, {one.seconds:.1f} s: {ended[:160]}",
        flush=True,
    )


def _summarise(told: list[Told]) -> None:
    ends = Counter("wrong" if one.wrong else "a clear error" if one.error else "right" for one in told)
    print(f"{len(told)} runs, {sum(one.faults for one in told)} faults: ", end="")
    print(", ".join(f"{count} ended {end}" for end, count in ends.most_common()))


if __name__ == "__main__":
    main()
