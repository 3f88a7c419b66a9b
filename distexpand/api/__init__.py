"""The composition of the stages: from a recipe to a plan, to an output, to a verdict.

What the command line does, as functions: nothing here prints, asks or exits.
"""

from distexpand.api.debris import clean_output
from distexpand.api.execution import run_plan, run_plan_on_cluster
from distexpand.api.expansion import (
    CARD_NAME,
    NEEDS_TORCH,
    PlannedExpansion,
    check_load,
    plan_expansion,
    planned_from,
    summarise_plan,
)
from distexpand.api.inspection import inspect_model
from distexpand.api.verification import plan_again, verify_output

__all__ = [
    "CARD_NAME",
    "NEEDS_TORCH",
    "PlannedExpansion",
    "check_load",
    "clean_output",
    "inspect_model",
    "plan_again",
    "plan_expansion",
    "planned_from",
    "run_plan",
    "run_plan_on_cluster",
    "summarise_plan",
    "verify_output",
]
