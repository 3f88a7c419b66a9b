"""Plans kept as files between `plan --save` and `run`."""

from pathlib import Path

from distexpand.plan.codec import decode_plan, encode_plan
from distexpand.plan.model import Plan
from distexpand.storage.local import storage_error

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_JSON_START = b'{"copies":'


def save_plan(plan: Plan, path: Path) -> None:
    """Write a plan to a file.

    Raises:
        StorageError: it can't be written.
    """
    try:
        path.write_bytes(encode_plan(plan))
    except OSError as error:
        raise storage_error("write the plan", path, error) from None


def load_plan(path: Path) -> Plan | None:
    """Return the plan of a file, or nothing if the file is something else (a recipe).

    Raises:
        UsageError: the file is a damaged plan, or one of another version.
        StorageError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(_JSON_START))
            if not start.startswith((_ZSTD_MAGIC, _JSON_START)):
                return None
            raw = start + file.read()
    except OSError as error:
        raise storage_error("read", path, error) from None
    return decode_plan(raw, origin=str(path))
