"""Every error says what to do next: by a hint, by what was expected, or for a reason that is listed here."""

from pathlib import Path

import distexpand
from distexpand import errors

ROOT = Path(distexpand.__file__).parent
KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
SAYS_ENOUGH = (
    "expected",
    "known are",
    "a recipe has at most",
    "exclude each other",
    "has no meaning without",
    "is given twice",
    "already",
    "call again",
    "another vocabulary",
)
"""Words after which nothing is left to say: what would be right, or what contradicts what."""

FORMAT = "the next step is the caller's to say, and `read_checkpoint` says it for every source"
PLAN = "`decode_plan` says it for every plan that was changed"
SYSTEM = "the system's or the library's own words say all that is known"
PROMISE = "a promise of ours to ourselves, which no call of a user breaks"
LIMIT = "nothing can be done about it with this model"
WITHOUT_HINT = {
    "architecture/config_names.py": (1, FORMAT),
    "batch/cluster_maker.py": (1, SYSTEM),
    "batch/document.py": (1, SYSTEM),
}
