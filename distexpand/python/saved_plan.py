"""Plans kept as files by `plan --save`: what was noticed while planning, then the plan in its own spelling.

The first line is a JSON object with the findings and figures that a plan itself
doesn't hold, so that a saved plan tells the same as its recipe. Rejected: one
document around both, which would change or repeat the plan's own spelling.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from distexpand.api import PlannedExpansion, planned_from
from distexpand.errors import CheckpointError, UsageError
from distexpand.findings import Finding
from distexpand.formats.json_record import record
from distexpand.formats.json_text import load_json_object
from distexpand.planning.codec.plans import decode_plan, encode_plan
from distexpand.python.arguments import expanded, place_text
from distexpand.storage.local.own_file import write_own_file

_START = b'{"distexpand_plan": '
_VERSION = 1


def save_plan(planned: PlannedExpansion, path: str | os.PathLike[str]) -> None:
    """Write a plan to a file, whole or not at all; replaces only a saved plan.

    Raises:
        UsageError: the file exists and is something else, or there is no plan.
        StorageError: it can't be written.
    """
    if not isinstance(planned, PlannedExpansion):
        raise UsageError(
            f"only a plan can be kept; found {type(planned).__name__}",
            hint="Give what `distexpand.plan` gave.",
        )
    write_own_file(
        expanded(Path(place_text(path, "path"))),
        encode_saved(planned),
        what="a saved plan",
        is_own=is_saved_plan,
    )


def encode_saved(planned: PlannedExpansion) -> bytes:
    """Return the bytes of a saved plan."""
    head = {
        "distexpand_plan": _VERSION,
        "findings": [asdict(finding) for finding in planned.findings],
        "layers_before": planned.layers_before,
        "remapped_keys": list(planned.remapped_keys),
    }
    return json.dumps(head).encode() + b"\n" + encode_plan(planned.plan)


def is_saved_plan(raw: bytes) -> bool:
    """Whether these bytes claim to be a saved plan."""
    return raw.startswith(_START)


def decode_saved(raw: bytes, *, origin: str) -> PlannedExpansion:
    """Return what `encode_saved` wrote, checked.

    Raises:
        UsageError: the plan is damaged, or of another version.
    """
    line, _, plan = raw.partition(b"\n")
    try:
        head = load_json_object(line, origin=origin)
        if head["distexpand_plan"] != _VERSION:
            raise UsageError(f"{origin}: not a saved plan of version {_VERSION}", hint="Make the plan again.")
        findings = tuple(record(Finding, entry) for entry in head["findings"])
        layers_before = _checked(head["layers_before"], int)
        remapped_keys = tuple(_checked(key, str) for key in head["remapped_keys"])
    except (CheckpointError, KeyError, TypeError):
        raise UsageError(
            f"{origin}: damaged plan: its first line isn't as it was written", hint="Make the plan again."
        ) from None
    return planned_from(
        decode_plan(plan, origin=origin),
        findings=findings,
        layers_before=layers_before,
        remapped_keys=remapped_keys,
    )


def _checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(value)
    return value
