"""Run mergekit in an environment of its own: a line of JSON in, a merge, a line of JSON out.

Needs nothing of this project; started by `architecture_cases.py` with the interpreter of that environment.
"""

import json
import logging
import os
import sys
from typing import Any


def main() -> None:
    """Serve until standard input ends."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # else it looks for every model on the Hub
    from mergekit.config import MergeConfiguration  # noqa: PLC0415
    from mergekit.merge import MergeOptions, run_merge  # noqa: PLC0415

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print
    logging.disable(logging.WARNING)
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        problem = ""
        try:
            config = MergeConfiguration.model_validate(asked["config"])
            run_merge(config, asked["output"], MergeOptions(quiet=True))
        except BaseException as error:  # noqa: BLE001  # whatever happens is the answer
            problem = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        answers.write(json.dumps({"problem": problem}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
