"""Fixtures of the storage tests."""

from tests.storage.users import unprivileged

__all__ = ["unprivileged"]
