"""Fixtures of the intake tests."""

from tests.storage.users import unprivileged

__all__ = ["unprivileged"]
