"""What the operating system says went wrong, as an error of ours with advice."""

import errno
from pathlib import Path

from distexpand.errors import StorageError

_ADVICE = {
    errno.ENOSPC: "Free some space or choose another disk. "
    "What a run has finished is kept: it goes on with --resume.",
    errno.EFBIG: "Files of this size aren't taken by the file system, or a limit of the process; "
    "choose a smaller --shard-size.",
    errno.EDQUOT: "The disk quota is used up. What a run has finished is kept: it goes on with --resume.",
    errno.ENOENT: "Is the folder there, and its disk mounted?",
    errno.EACCES: "Check the permissions of the file and of the folders above it.",
    errno.EPERM: "Check the permissions of the file and of the folders above it.",
    errno.EMFILE: "Allow the process more open files (ulimit -n): every source file is held open.",
    errno.ENFILE: "The system's limit of open files is reached; try again with less running.",
    errno.EROFS: "The file system is mounted read-only; choose another output.",
}


def storage_error(doing: str, path: Path | str, error: OSError) -> StorageError:
    """Map an operating system's error to ours, with advice for the frequent ones."""
    reason = error.strerror or str(error)
    return StorageError(f"{path}: can't {doing}: {reason}", hint=_ADVICE.get(error.errno or 0, ""))
