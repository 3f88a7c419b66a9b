"""What a model is run from: a checkpoint's directory, or a plan of which nothing is written yet."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distexpand.intake.pins import read_whole
from distexpand.intake.side_files import is_side_file
from distexpand.intake.weights import read_catalog
from distexpand.planning.model import CONFIG_NAME, Plan
from distexpand.runner.sources import check_sources, open_sources, read_side_files
from distexpand.running.weights import Weights, planned_weights, stored_weights
from distexpand.storage.local.directories import LocalSource
from distexpand.storage.local.os_errors import storage_error
from distexpand.storage.ranges import SourceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """A model that can be run.

    `directory` has its config, tokenizer and code; `origin` is what to call it.
    """

    origin: str
    directory: str
    weights: Weights


@contextmanager
def stored_model(store: SourceStore, *, origin: str) -> Iterator[Runnable]:
    """Give a checkpoint to run, with its small files in a directory for as long if it lies elsewhere.

    Raises:
        CheckpointError: it is damaged.
        StorageError: it can't be read.
    """
    names = store.files()
    weights = stored_weights(read_catalog(store, names), store.location)
    if isinstance(store, LocalSource):
        yield Runnable(origin=origin, directory=store.location, weights=weights)
        return
    needed = [name for name in names if name == CONFIG_NAME or is_side_file(name)]
    with _directory({name: read_whole(store, name) for name in needed}) as directory:
        yield Runnable(origin=origin, directory=directory, weights=weights)


@contextmanager
def planned_model(plan: Plan, *, origin: str) -> Iterator[Runnable]:
    """Give a plan's output to run, with its small files in a directory for as long.

    Raises:
        StorageError: a source is gone or another one, or there is no room for the small files.
    """
    with open_sources(plan) as readers:
        check_sources(plan, readers)
        files = read_side_files(plan, readers) | {text.name: text.text.encode() for text in plan.texts}
    with _directory(files) as directory:
        yield Runnable(origin=origin, directory=directory, weights=planned_weights(plan))


@contextmanager
def _directory(files: Mapping[str, bytes]) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="distexpand-") as directory:
        for name, raw in files.items():
            _write(Path(directory) / name, raw)
        yield directory


def _write(path: Path, raw: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    except OSError as error:
        raise storage_error("write", path, error) from None
