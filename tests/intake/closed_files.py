"""Pins of files that nobody holds open."""

from distexpand.intake.pins import pin_of
from distexpand.storage.ranges import SourceStore


def compute_pin(store: SourceStore, path: str) -> str:
    """Open a file of a checkpoint and return its pin."""
    reader = store.open(path)
    try:
        return pin_of(reader, path, origin=f"{store.location}/{path}")
    finally:
        reader.close()
