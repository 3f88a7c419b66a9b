"""Make a large language model bigger: plan, stream and verify layer expansions.

    import distexpand

    planned = distexpand.plan("recipe.yml", models={"org/model": "/models/model"})
    result = distexpand.run(planned, "out", progress=print)
    assert distexpand.verify("out").ok

Every name is imported when it is asked for first: importing the package costs nothing and does nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distexpand.api import PlannedExpansion
    from distexpand.errors import (
        ArchitectureError,
        CheckpointError,
        DistexpandError,
        InterruptedRunError,
        LoadCheckError,
        MissingDependencyError,
        OutputError,
        OutputTakenError,
        RecipeError,
        StorageError,
        UsageError,
        VerificationError,
    )
    from distexpand.python.inspecting import inspect
    from distexpand.python.jobs import Job, JobResult, JobStatus, find_job, submit
    from distexpand.python.planning import plan
    from distexpand.python.progress import Progress
    from distexpand.python.running import RunResult, run
    from distexpand.python.saved_plan import save_plan
    from distexpand.python.verifying import verify
    from distexpand.python.virtual import load_virtual
    from distexpand.report.inspection import Inspection
    from distexpand.report.watching.display import NoProgress
    from distexpand.training import drop_new_layers, freeze_original
    from distexpand.verifying.report import Difference, VerifyReport

__all__ = [
    "ArchitectureError",
    "CheckpointError",
    "Difference",
    "DistexpandError",
    "Inspection",
    "InterruptedRunError",
    "Job",
    "JobResult",
    "JobStatus",
    "LoadCheckError",
    "MissingDependencyError",
    "NoProgress",
    "OutputError",
    "OutputTakenError",
    "PlannedExpansion",
    "Progress",
    "RecipeError",
    "RunResult",
    "StorageError",
    "UsageError",
    "VerificationError",
    "VerifyReport",
    "drop_new_layers",
    "find_job",
    "freeze_original",
    "inspect",
    "load_virtual",
    "plan",
    "run",
    "save_plan",
    "submit",
    "verify",
]

__version__ = "0.1.0"

_HOMES = {
    "Difference": "distexpand.verifying.report",
    "Inspection": "distexpand.report.inspection",
    "Job": "distexpand.python.jobs",
    "JobResult": "distexpand.python.jobs",
    "JobStatus": "distexpand.python.jobs",
    "NoProgress": "distexpand.report.watching.display",
    "PlannedExpansion": "distexpand.api",
    "Progress": "distexpand.python.progress",
    "RunResult": "distexpand.python.running",
    "VerifyReport": "distexpand.verifying.report",
    "drop_new_layers": "distexpand.training",
    "find_job": "distexpand.python.jobs",
    "freeze_original": "distexpand.training",
    "inspect": "distexpand.python.inspecting",
    "load_virtual": "distexpand.python.virtual",
    "plan": "distexpand.python.planning",
    "run": "distexpand.python.running",
    "save_plan": "distexpand.python.saved_plan",
    "submit": "distexpand.python.jobs",
    "verify": "distexpand.python.verifying",
}
_HOMES |= {name: "distexpand.errors" for name in __all__ if name.endswith("Error")}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: most uses of the package need none of it."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
