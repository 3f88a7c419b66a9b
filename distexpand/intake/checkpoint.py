"""A checkpoint as the planner sees it: config, catalog and side files; no weight is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distexpand.errors import CheckpointError
from distexpand.formats.catalog import Catalog
from distexpand.formats.json_text import load_json_object
from distexpand.intake.pins import digest, read_whole
from distexpand.intake.side_files import is_side_file
from distexpand.intake.weights import read_catalog
from distexpand.recipe.canonical import ModelRef
from distexpand.storage.ranges import SourceStore

CONFIG_NAME = "config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SideFile:
    """A file carried over as it is; `pin` is the SHA-256 of its bytes."""

    name: str
    size: int
    pin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One source of a recipe, read without its weights."""

    model: ModelRef
    location: str
    config: Mapping[str, Any]
    catalog: Catalog
    side_files: tuple[SideFile, ...]

    @property
    def origin(self) -> str:
        """What to call it in a message."""
        return str(self.model)


def read_checkpoint(model: ModelRef, store: SourceStore) -> Checkpoint:
    """Read headers, config and side files of a checkpoint.

    Raises:
        CheckpointError: something is missing, damaged or inconsistent.
        StorageError: a file can't be read.
    """
    files = store.files()
    if CONFIG_NAME not in files:
        raise CheckpointError(
            f"{store.location}: no {CONFIG_NAME}", hint=f"Is {str(model)!r} a model's directory?"
        )
    config = load_json_object(read_whole(store, CONFIG_NAME), origin=f"{store.location}/{CONFIG_NAME}")
    return Checkpoint(
        model=model,
        location=store.location,
        config=config,
        catalog=read_catalog(store, files),
        side_files=tuple(_side_file(store, name) for name in sorted(files) if is_side_file(name)),
    )


def _side_file(store: SourceStore, name: str) -> SideFile:
    raw = read_whole(store, name)
    return SideFile(name=name, size=len(raw), pin=digest(raw))
