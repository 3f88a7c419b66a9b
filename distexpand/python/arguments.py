"""What callers hand over, as the stages take it: places, sizes, layouts and outputs."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from distexpand.closeness import did_you_mean
from distexpand.cluster.options import MOST_THREADS
from distexpand.errors import UsageError
from distexpand.planning.layout import Layout
from distexpand.planning.pack import DEFAULT_SHARD_SIZE
from distexpand.report.sizes import parse_bytes
from distexpand.runner.place import Output, parse_output

Place: TypeAlias = str | os.PathLike[str]
"""A path, or an address such as `s3://bucket/model` and `hf://owner/name@revision`."""

LayoutName: TypeAlias = Literal["layers", "by-source"]


def places_of(model: Place | None, models: Mapping[str, Place] | None) -> dict[str, str]:
    """Return place by model name; the empty name has the place of the model of a recipe that names none.

    Raises:
        UsageError: something isn't a place, or a name.
    """
    if models is not None and not isinstance(models, Mapping):
        raise UsageError(
            f"models={models!r}: expected a mapping", hint="Give each model's path or address by its name."
        )
    places = {_name(name): place_text(place, f"models[{name!r}]") for name, place in (models or {}).items()}
    return places if model is None else {**places, "": place_text(model, "model")}


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise UsageError(f"models: {name!r} is no name of a model; expected a text")
    return name


def place_text(place: object, called: str) -> str:
    """Return a place as text; `called` is the argument.

    Raises:
        UsageError: it is neither a path nor an address.
    """
    text = os.fspath(place) if isinstance(place, str | os.PathLike) else None
    if not isinstance(text, str):
        raise UsageError(f"{called}={place!r}: expected a path or an address")
    return text


def shard_bytes(shard_size: int | str | None) -> int:
    """Return the bytes of tensor data per shard.

    Raises:
        UsageError: it isn't a size.
    """
    if shard_size is None:
        return DEFAULT_SHARD_SIZE
    size = parse_bytes(shard_size) if isinstance(shard_size, str) else shard_size
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise UsageError(
            f"shard_size {shard_size!r} is not a size", hint="Give bytes, or a text such as 5GB or 500MB."
        )
    return size


def layout_of(layout: str | None) -> Layout:
    """Return the layout of a name.

    Raises:
        UsageError: there is no such layout.
    """
    names = [known.value for known in Layout]
    if layout is None:
        return Layout.LAYERS
    if layout not in names:
        raise UsageError(
            f"layout {layout!r}: expected {' or '.join(names)}", hint=did_you_mean(str(layout), names)
        )
    return Layout(layout)


def output_of(output: Place) -> Output:
    """Return an output's place.

    Raises:
        UsageError: an address of no known kind, or one that can only be read.
    """
    place = output if isinstance(output, Path) else parse_output(place_text(output, "output"))
    return expanded(place) if isinstance(place, Path) else place


def expanded(path: Path) -> Path:
    """Return the path with `~` expanded, or as it stands where there is no such user."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def thread_count(threads: object) -> int:
    """Return how many blocks are worked on at once.

    Raises:
        UsageError: it isn't such a number.
    """
    if not isinstance(threads, int) or isinstance(threads, bool) or not 1 <= threads <= MOST_THREADS:
        raise UsageError(f"threads={threads!r}: expected a whole number from 1 to {MOST_THREADS}")
    return threads


def require_event(stop: object) -> None:
    """Check what is to stop a run.

    Raises:
        UsageError: it can't.
    """
    if stop is not None and not isinstance(stop, threading.Event):
        raise UsageError(
            f"stop={stop!r}: expected a threading.Event", hint="Make one, and set it from another thread."
        )
