"""Runs blocks of Python one after another in one process, as a reader types them into one session.

Reads a JSON text per line from standard input and answers each with a line on standard output that holds
the traceback, empty if all went well. What the blocks print goes to standard error.
"""

import contextlib
import json
import sys
import traceback


def main() -> None:
    namespace = {"__name__": "__main__"}
    answers = sys.stdout
    for line in sys.stdin:
        failure = ""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                exec(compile(json.loads(line), "<block>", "exec"), namespace)
        except BaseException:  # noqa: BLE001
            failure = traceback.format_exc()
        answers.write(json.dumps(failure) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
