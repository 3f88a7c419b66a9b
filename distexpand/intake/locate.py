"""Where the models of a recipe lie: the command line's word first, then a directory of that name."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from distexpand.errors import UsageError
from distexpand.recipe.canonical import ModelRef
from distexpand.storage.local import LocalSource

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
    cached under.
    """
    named = {name: path for name, path in places.items() if name}
    if "" not in places:
        return None, named
    path = _expand(places[""]).absolute()
    cached = _CACHED.search(str(path))
    if cached:
        ref = ModelRef(name=cached["name"].replace("--", "/", 1), revision=cached["revision"])
    else:
        ref = ModelRef(name=path.resolve().name)
    return ref, {**named, str(ref): places[""]}


def locate(model: ModelRef, places: Mapping[str, str]) -> LocalSource:
    """Return the store of a model.

    Args:
        model: as the recipe names it.
        places: path by model name, with or without its revision.

    Raises:
        UsageError: the model isn't here; says how to give its place.
    """
    named = places.get(str(model), places.get(model.name))
    path = _expand(named if named is not None else model.name)
    if os.path.isdir(path):  # noqa: PTH112  # unlike Path.is_dir, false for a name too long for the system
        return LocalSource(path.resolve())
    if named is not None:
        raise UsageError(f"--model {model}={named}: no such directory")
    raise UsageError(
        f"model {str(model)!r} is not a directory here",
        hint=f"Download it and say where it lies: --model {model}=PATH",
    )


def _expand(path: str) -> Path:
    """Return the path with `~` expanded, or as it stands where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def unused_places(places: Mapping[str, str], models: tuple[ModelRef, ...]) -> list[str]:
    """Return the names in `places` that no model of the recipe has."""
    known = {str(model) for model in models} | {model.name for model in models}
    return sorted(name for name in places if name and name not in known)
