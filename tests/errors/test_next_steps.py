"""Every error says what to do next: by a hint, by what was expected, or for a reason that is listed here."""

import ast
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
WRITTEN = "the message has line and column of what the reader of YAML found"
WITHOUT_HINT = {
    "architecture/config/names.py": (1, FORMAT),
    "batch/cluster_maker.py": (1, SYSTEM),
    "batch/document.py": (1, SYSTEM),
    "cli/demo_command.py": (3, PROMISE),
    "cli/main.py": (3, SYSTEM),
    "cli/running_options.py": (1, SYSTEM),
    "cli/watching.py": (2, SYSTEM),
    "cluster/connect.py": (1, SYSTEM),
    "cluster/fleet.py": (1, SYSTEM),
    "commit/committer.py": (1, PROMISE),
    "commit/hub/committer.py": (1, PROMISE),
    "commit/objects/leased_names.py": (1, PROMISE),
    "commit/manifest.py": (3, FORMAT),
    "demo/model.py": (1, SYSTEM),
    "formats/archive_index.py": (5, FORMAT),
    "formats/header.py": (8, FORMAT),
    "formats/index.py": (1, FORMAT),
    "formats/json_text.py": (3, FORMAT),
    "handoff/undo.py": (1, LIMIT),
    "intake/pickle_archive.py": (1, FORMAT),
    "intake/pickled.py": (2, FORMAT),
    "intake/weights.py": (4, FORMAT),
    "jobs/connection.py": (1, SYSTEM),
    "planning/adapters/match.py": (1, LIMIT),
    "planning/check.py": (13, PLAN),
    "planning/placement.py": (1, LIMIT),
    "planning/shared_placement.py": (1, LIMIT),
    "planning/tensors.py": (1, LIMIT),
    "recipe/document.py": (5, WRITTEN),
    "recipe/lower.py": (1, PROMISE),
    "running/loading.py": (1, LIMIT),
    "running/logits.py": (1, SYSTEM),
    "running/new_parameters.py": (1, LIMIT),
    "running/opened.py": (3, SYSTEM),
    "running/perplexity.py": (1, LIMIT),
    "storage/archives/reader.py": (1, PROMISE),
    "storage/archives/source.py": (1, PROMISE),
    "storage/hub/source.py": (1, PROMISE),
    "storage/memory.py": (1, PROMISE),
    "storage/objects/reader.py": (1, PROMISE),
    "storage/objects/requests.py": (2, PROMISE),
    "storage/objects/part_grid.py": (2, PROMISE),
    "storage/s3/attempt.py": (1, PROMISE),
    "storage/s3/names.py": (1, PROMISE),
    "storage/s3/uploads.py": (1, PROMISE),
    "storage/objects/staged_attempt.py": (1, PROMISE),
}
"""Errors of each file that say no next step, and why."""


def _sites(path: Path) -> int:
    """Count the errors that a file makes without a hint and without words that say enough."""
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    return sum(
        isinstance(call.func, ast.Name)
        and call.func.id in KINDS
        and not any(keyword.arg == "hint" for keyword in call.keywords)
        and not any(words in ast.unparse(call) for words in SAYS_ENOUGH)
        for call in calls
    )


def test_every_error_says_the_next_step_or_is_listed_with_the_reason() -> None:
    found = {path.relative_to(ROOT).as_posix(): _sites(path) for path in sorted(ROOT.rglob("*.py"))}
    listed = {file: count for file, (count, _) in WITHOUT_HINT.items()}
    assert {file: count for file, count in found.items() if count} == listed


def test_what_is_listed_has_a_reason() -> None:
    assert all(reason for _, reason in WITHOUT_HINT.values())
