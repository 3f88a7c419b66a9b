"""A checkpoint as the planner sees it: config, catalog and side files; no weight is read."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from distexpand.errors import CheckpointError
from distexpand.formats.catalog import Catalog
from distexpand.formats.json_text import load_json_object
from distexpand.intake.pins import digest, read_whole
from distexpand.intake.side_files import is_side_file
from distexpand.intake.weights import read_catalog
from distexpand.planning.build import CarriedFile
from distexpand.planning.model import CONFIG_NAME
from distexpand.recipe.canonical import ModelRef
from distexpand.storage.ranges import SourceStore

_DAMAGED = "The file is damaged or was cut short: download it again, and compare its size and digest."


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One source of a recipe, read without its weights."""

    model: ModelRef
    location: str
    config: Mapping[str, Any]
    catalog: Catalog
    side_files: tuple[CarriedFile, ...]

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
    with _saying_what_to_do():
        config = load_json_object(read_whole(store, CONFIG_NAME), origin=f"{store.location}/{CONFIG_NAME}")
        catalog = read_catalog(store, files)
    return Checkpoint(
        model=model,
        location=store.location,
        config=config,
        catalog=catalog,
        side_files=read_side_files(model, store),
    )


@contextmanager
def _saying_what_to_do() -> Iterator[None]:
    """Give damage its next step, which is the same whatever rule of a format found it.

    Raises:
        CheckpointError: as it was raised, with a hint.
    """
    try:
        yield
    except CheckpointError as error:
        error.hint = error.hint or _DAMAGED
        raise


def read_side_files(model: ModelRef, store: SourceStore) -> tuple[CarriedFile, ...]:
    """Return a checkpoint's side files by name, which may be all that it has.

    Raises:
        StorageError: a file can't be read.
    """
    found = []
    for name in sorted(filter(is_side_file, store.files())):
        raw = read_whole(store, name)
        found.append(CarriedFile(model=model, name=name, size=len(raw), pin=digest(raw)))
    return tuple(found)
