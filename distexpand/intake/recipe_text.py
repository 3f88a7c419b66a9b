"""A recipe as programs hand it over: the path of its file, its text, or plain data.

All three become text, so that there is one parser and one way of naming what is wrong.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from distexpand.closeness import closest
from distexpand.errors import RecipeError, UsageError

RecipeLike: TypeAlias = str | os.PathLike[str] | Mapping[str, object]
"""A path, a text (of several lines, or one that begins with a brace), or a mapping."""

_DATA = "the recipe"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeText:
    """A recipe as text, and what to call it in messages."""

    text: str
    origin: str


def recipe_text(recipe: RecipeLike) -> RecipeText:
    """Return a recipe's text.

    Raises:
        RecipeError: it holds what no recipe can hold.
        UsageError: its file can't be read.
    """
    if isinstance(recipe, Mapping):
        return RecipeText(text=_dumped(recipe), origin=_DATA)
    path = recipe_path(recipe)
    if path is None:
        return RecipeText(text=str(recipe), origin=_DATA)
    return RecipeText(text=decode_recipe(read_recipe(path), origin=str(path)), origin=str(path))


def recipe_path(recipe: RecipeLike) -> Path | None:
    """Return the path that a recipe is given by, or nothing where it is given itself.

    Raises:
        UsageError: it is something else.
    """
    if isinstance(recipe, Mapping):
        return None
    if not isinstance(recipe, str | os.PathLike) or not isinstance(os.fspath(recipe), str):
        raise UsageError(f"expected a recipe as a path, a text or a mapping; found {type(recipe).__name__}")
    if isinstance(recipe, str) and ("\n" in recipe or recipe.lstrip().startswith("{")):
        return None
    try:
        return Path(recipe).expanduser()
    except RuntimeError:  # no such user
        return Path(recipe)


def read_recipe(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        UsageError: it can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable_recipe(str(path), error) from None
    except ValueError:
        raise UsageError(f"{str(path)!r}: no name of a file; expected the path of a recipe") from None


def unreadable_recipe(origin: str, error: OSError) -> UsageError:
    """Return the error for a recipe that can't be read."""
    hint = "" if not isinstance(error, FileNotFoundError) else _near(origin)
    return UsageError(f"{origin}: can't read the recipe: {error.strerror}", hint=hint)


def decode_recipe(raw: bytes, *, origin: str) -> str:
    """Return a recipe's text of its bytes.

    Raises:
        UsageError: they aren't UTF-8.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{origin}: not UTF-8 text (byte {error.start})",
            hint="A recipe is YAML or JSON, or a plan that `distexpand plan --save` wrote.",
        ) from None


def _near(origin: str) -> str:
    """Return a hint with a file of the same folder that may be meant."""
    path = Path(origin)
    with contextlib.suppress(OSError):
        close = closest(path.name, (entry.name for entry in path.parent.iterdir() if entry.is_file()))
        return f"Did you mean {path.with_name(close)}?" if close else ""
    return ""


def _dumped(recipe: Mapping[str, object]) -> str:
    """Return plain data as JSON, which is read as the YAML that it is.

    Raises:
        RecipeError: it holds something else than plain data and paths.
    """
    try:
        return json.dumps(dict(recipe), default=_plain, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RecipeError(
            f"{_DATA} isn't plain data: {error}", hint="Give mappings, lists, texts and numbers."
        ) from None


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"found {type(value).__name__}")
