"""Where the models of a recipe lie.

The command line's word first, then an address, then a directory of that name, then the Hub.
"""

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from distexpand.closeness import closest
from distexpand.errors import StorageError, UsageError
from distexpand.recipe.canonical import ModelRef
from distexpand.storage.address import HUB, Address, is_repository, parse_address
from distexpand.storage.opening import open_store
from distexpand.storage.ranges import SourceStore

_CACHED = re.compile(r"/models--(?P<name>[^/]+)/snapshots/(?P<revision>[0-9a-f]{40})/?$")


def parse_assignment(text: str) -> tuple[str, str]:
    """Split `NAME=PATH`; a bare `PATH` has the empty name.

    Raises:
        UsageError: the path is empty.
    """
    name, equals, path = text.partition("=")
    if not equals:
        name, path = "", text
    if not path:
        raise UsageError(f"--model {text!r}: the path is empty", hint="Write --model NAME=PATH.")
    return name, path


def default_model(places: Mapping[str, str]) -> tuple[ModelRef | None, dict[str, str]]:
    """Name the model that was given without a name, by its directory.

    The directory's own name, not its path: what goes into an output must not depend on
    where a source lies. A snapshot in the Hub's cache has the name and revision that it is
    cached under, a repository of the Hub its own.

    Raises:
        UsageError: the place is an address of no known kind.
    """
    named = {name: path for name, path in places.items() if name}
    if "" not in places:
        return None, named
    ref = name_of_place(places[""])
    return ref, {**named, str(ref): places[""]}


def name_of_place(place: str) -> ModelRef:
    """Return what to call a model that is given by its place alone.

    Raises:
        UsageError: the place is an address of no known kind.
    """
    address = _elsewhere(place)
    if address is not None and address.scheme == HUB:
        return ModelRef(name=address.root, revision=address.revision)
    if address is not None:
        return ModelRef(name=(address.path or address.root).rpartition("/")[2])
    path = _local(place).absolute()
    cached = _CACHED.search(str(path))
    if cached:
        return ModelRef(name=cached["name"].replace("--", "/", 1), revision=cached["revision"])
    return ModelRef(name=path.resolve().name)


def locate(model: ModelRef, places: Mapping[str, str]) -> SourceStore:
    """Return the store of a model.

    Args:
        model: as the recipe names it.
        places: path or address by model name, with or without its revision.

    Raises:
        UsageError: the model isn't there; says how to give its place.
        MissingDependencyError: the client for that kind of place isn't installed.
        StorageError: it can't be reached.
    """
    named = places.get(str(model), places.get(model.name))
    place = named if named is not None else model.name
    address = _elsewhere(place)
    if address is not None:
        return _open_elsewhere(model, address, place)
    path = _local(place)
    if os.path.isdir(path):  # noqa: PTH112  # unlike Path.is_dir, false for a name too long for the system
        return open_store(str(path.resolve()))
    if named is not None:
        raise _not_there(model, named, path)
    raise UsageError(
        f"model {str(model)!r} is not a directory here",
        hint=did_you_mean_path(path) or f"Download it and say where it lies: --model {model}=PATH",
    )


def pinned(model: ModelRef, store: SourceStore) -> ModelRef:
    """Return a model with the commit that its store was opened at, where it is a repository of the Hub.

    What a recipe calls `org/model` is another model after the next push; a commit stays.
    """
    address = parse_address(store.location)
    if address is None or address.scheme != HUB:
        return model
    named = parse_address(model.name)
    whole = named is not None and named.scheme == HUB and not named.path
    return ModelRef(name=address.root if whole else model.name, revision=address.revision)


def _not_there(model: ModelRef, named: str, path: Path) -> UsageError:
    whose = "" if model.name in {path.name, named} else f", given for the model {model}"
    what = "a file, not a directory" if os.path.isfile(path) else "no such directory"  # noqa: PTH113  # as above
    return UsageError(
        f"{named}: {what}{whose}",
        hint=did_you_mean_path(path)
        or "Give the directory that the model was downloaded to, or its address.",
    )


def _open_elsewhere(model: ModelRef, address: Address, place: str) -> SourceStore:
    if address.scheme == HUB and address.revision is None:
        address = replace(address, revision=model.revision)
    try:
        return open_store(str(address))
    except StorageError as error:
        if parse_address(place) is not None:
            raise
        raise type(error)(f"model {place!r} is no directory here; {error.message}", hint=error.hint) from None


def _elsewhere(place: str) -> Address | None:
    """Return the address that a place is, or nothing if it is a path here, be there anything or not."""
    address = parse_address(place)
    if address is not None:
        return None if address.scheme == "file" else address
    name, _, revision = place.partition("@")
    if not is_repository(name) or os.path.isdir(_expand(place)):  # noqa: PTH112  # as above
        return None
    return Address(scheme=HUB, root=name, revision=revision or None)


def _local(place: str) -> Path:
    address = parse_address(place)
    return _expand(place) if address is None else Path(address.path)


def _expand(path: str) -> Path:
    """Return the path with `~` expanded, or as it stands where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def did_you_mean_path(path: Path) -> str:
    """Return `Did you mean PATH?` with a directory beside one that isn't there, or nothing."""
    with contextlib.suppress(OSError, ValueError):
        beside = [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
        close = closest(path.name, beside)
        return f"Did you mean {path.with_name(close)}?" if close else ""
    return ""


def unused_places(places: Mapping[str, str], models: tuple[ModelRef, ...]) -> list[str]:
    """Return the names in `places` that no model of the recipe has."""
    known = {str(model) for model in models} | {model.name for model in models}
    return sorted(name for name in places if name and name not in known)
