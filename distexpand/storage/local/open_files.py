"""The process's limit of open files, raised where a run needs more.

The usual soft limit of 1024, or 256, is a default for programs that use
select(2), not a decision about this one; the hard limit is the decision.
"""

import contextlib
import resource

_OTHER_FILES = 128
"""Beside the sources: attempts, journal, libraries, what the caller has open."""


def allow_open_files(count: int) -> bool:
    """Raise the soft limit so that `count` files may be open, as far as the hard limit lets us.

    Return whether they may. Where not, opening fails later, with an error that names file and limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return True
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    return allowed >= wanted
