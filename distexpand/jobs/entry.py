"""`python -m distexpand.jobs.entry`: what a cluster starts for a job.

Looks first whether this machine has what the driver imports, with nothing but
the standard library: a cluster with plain Ray hasn't. The client reads the answer
in the log and submits again with the missing requirements. Rejected: installing
them for every job, which takes a quarter of a minute and a package index where
most clusters need neither.
"""

import json
import os
import sys
from importlib.util import find_spec

from distexpand.jobs.requirements import missing_requirements

MISSING = '{"missing_requirements":'
MISSING_EXIT = 86


def missing_line(requirements: tuple[str, ...]) -> str:
    """Return the line that tells a client what is missing."""
    return json.dumps({"missing_requirements": list(requirements)}, separators=(",", ":"))


def parse_missing(line: str) -> tuple[str, ...]:
    """Return the requirements that a line of the log says are missing; none for any other line."""
    if not line.startswith(MISSING):
        return ()
    try:
        found = json.loads(line)["missing_requirements"]
    except (ValueError, KeyError):
        return ()
    return tuple(str(entry) for entry in found) if isinstance(found, list) else ()


def main() -> int:
    """Run the job and return its exit code."""
    missing = missing_requirements()
    if missing:
        print(missing_line(missing), flush=True)  # noqa: T201  # the log is this process's standard output
        return MISSING_EXIT
    if find_spec("ray") is None:
        print(  # noqa: T201
            f"{sys.executable} has no Ray: the cluster was started with another Python than the one in its "
            "PATH; put the one that runs Ray first",
            flush=True,
        )
        return 1
    from distexpand.jobs.drive import drive  # noqa: PLC0415  # needs what was just looked for
    from distexpand.jobs.request import JOB_VARIABLE, REQUEST_VARIABLE  # noqa: PLC0415

    return drive(os.environ.get(REQUEST_VARIABLE, ""), run=os.environ.get(JOB_VARIABLE, ""))


if __name__ == "__main__":
    sys.exit(main())
