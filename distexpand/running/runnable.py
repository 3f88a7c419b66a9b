"""What a model is run from: a checkpoint's directory, or a plan of which nothing is written yet."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distexpand.intake.weights import read_catalog
from distexpand.planning.model import Plan
from distexpand.runner.sources import check_sources, open_sources, read_side_files
from distexpand.running.weights import Weights, planned_weights, stored_weights
from distexpand.storage.opening import open_store
from distexpand.storage.os_errors import storage_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """A model that can be run.

    `directory` has its config, tokenizer and code; `origin` is what to call it.
    """

    origin: str
    directory: str
    weights: Weights


@contextmanager
def stored_model(location: str, *, origin: str) -> Iterator[Runnable]:
    """Give a checkpoint to run, at a path or an address as a plan keeps it.

    Raises:
        CheckpointError: it is damaged.
        StorageError: it can't be read.
    """
    store = open_store(location)
    weights = stored_weights(read_catalog(store, store.files()), location)
    yield Runnable(origin=origin, directory=location, weights=weights)


@contextmanager
def planned_model(plan: Plan, *, origin: str) -> Iterator[Runnable]:
    """Give a plan's output to run, with its small files in a directory for as long.

    Raises:
        StorageError: a source is gone or another one, or there is no room for the small files.
    """
    with tempfile.TemporaryDirectory(prefix="distexpand-") as directory:
        with open_sources(plan) as readers:
            check_sources(plan, readers)
            files = read_side_files(plan, readers)
        files |= {text.name: text.text.encode() for text in plan.texts}
        for name, raw in files.items():
            _write(Path(directory) / name, raw)
        yield Runnable(origin=origin, directory=directory, weights=planned_weights(plan))


def _write(path: Path, raw: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    except OSError as error:
        raise storage_error("write", path, error) from None
