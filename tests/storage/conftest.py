"""Fixtures of the storage tests."""

from tests.storage.places import environment
from tests.storage.users import unprivileged

__all__ = ["environment", "unprivileged"]
