"""The program: `distexpand`, and `python -m distexpand`.

An interrupt while the commands are still being imported, or while the process ends, is one like any
other: a word and exit code 130, no traceback.
"""

import os
import signal
import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        from distexpand.cli.main import run  # noqa: PLC0415  # takes a while, and may be interrupted

        code = run()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.write(2, b"error: interrupted\n")
        os._exit(_INTERRUPTED)  # nothing has begun, or it is the second one
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


if __name__ == "__main__":
    main()
