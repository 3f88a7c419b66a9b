"""A value of a recipe together with its place, and typed access to it.

Every dialect reads its data through this module, so that each complaint names
file, key path, what was found and what would be right, in the same words.
"""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from distexpand.errors import RecipeError

MAX_ITEMS = 10_000
_MAX_INTEGER = 10**9
_SHOWN_CHARACTERS = 60
_SHOWN_ITEMS = 4
_SHOWN_KEYS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """Plain data found at `path` (`slices[2].sources[0]`, empty at the top) of file `origin`."""

    value: object
    path: str
    origin: str

    def error(self, message: str, *, hint: str = "") -> RecipeError:
        """Return an error about this place."""
        where = f"{self.path}: " if self.path else ""
        return RecipeError(f"{self.origin}: {where}{message}", hint=hint)

    def wrong(self, expected: str) -> RecipeError:
        """Return the error for a value that is not what was expected."""
        return self.error(f"found {describe(self.value)}; expected {expected}")


def describe(value: object) -> str:
    """Say in a few words what a value is, however large it is."""
    match value:
        case None:
            return "nothing"
        case str():
            return repr(value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "...")
        case dict():
            names = [str(key)[:_SHOWN_CHARACTERS] for key in list(value)[:_SHOWN_KEYS]]
            more = ", ..." if len(value) > _SHOWN_KEYS else ""
            return f"a mapping with the keys {', '.join(names)}{more}" if value else "an empty mapping"
        case list():
            short = len(value) <= _SHOWN_ITEMS and not any(isinstance(item, list | dict) for item in value)
            return f"[{', '.join(describe(item) for item in value)}]" if short else f"a list of {len(value)}"
        case int() if not isinstance(value, bool) and abs(value) >= 10**30:
            return "a number of more than 30 digits"
        case _:
            return repr(value)


def fields(
    place: Located,
    supported: Sequence[str],
    *,
    refused: Mapping[str, str] | None = None,
    ignored: Iterable[str] = (),
) -> dict[str, Located]:
    """Read a mapping whose keys must be among `supported`; a key without a value is left out.

    Args:
        place: the mapping.
        supported: the keys that mean something here.
        refused: known keys of the format that are not supported, each with the reason.
        ignored: further keys that may stand here and mean nothing.
    """
    if not isinstance(place.value, dict):
        raise place.wrong(f"a mapping with the keys {', '.join(supported)}")
    found: dict[str, Located] = {}
    for key, value in place.value.items():
        if key not in supported and key not in ignored:
            if value is None and refused and key in refused:
                continue
            raise _unknown_key(place, key, supported, refused or {})
        if key in supported and value is not None:
            found[key] = child(place, key, value)
    return found


def _unknown_key(
    place: Located, key: str, supported: Sequence[str], refused: Mapping[str, str]
) -> RecipeError:
    here = child(place, key, None)
    listed = f"Supported here: {', '.join(supported)}."
    if key in refused:
        return here.error(f"`{key}` is not supported: {refused[key]}", hint=listed)
    close = difflib.get_close_matches(key, supported, n=1)
    guess = f"; did you mean `{close[0]}`?" if close else ""
    return here.error(f"unknown key{guess} (supported here: {', '.join(supported)})")


def child(place: Located, key: str, value: object) -> Located:
    """Return the value under `key` of the mapping at `place`."""
    shown = key if len(key) <= _SHOWN_CHARACTERS else key[:_SHOWN_CHARACTERS] + "..."
    path = f"{place.path}.{shown}" if place.path else shown
    return Located(value=value, path=path, origin=place.origin)


def required(place: Located, found: Mapping[str, Located], key: str, meaning: str) -> Located:
    """Return the field `key`, or complain that it is missing and say what it is."""
    if key not in found:
        raise place.error(f"`{key}` is missing; expected {meaning}")
    return found[key]


def items(place: Located, expected: str, *, most: int = MAX_ITEMS) -> list[Located]:
    """Read a list that has at least one item, and at most `most`."""
    if not isinstance(place.value, list) or not place.value:
        raise place.wrong(expected)
    if len(place.value) > most:
        raise place.error(f"found {len(place.value):,} items; expected at most {most:,}")
    return [
        Located(value=value, path=f"{place.path}[{index}]", origin=place.origin)
        for index, value in enumerate(place.value)
    ]


def text(place: Located, expected: str) -> str:
    """Read text that is not empty."""
    if not isinstance(place.value, str) or not place.value.strip():
        raise place.wrong(expected)
    return place.value


def integer(place: Located, expected: str, *, minimum: int) -> int:
    """Read a whole number of at least `minimum`."""
    value = place.value
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise place.wrong(expected)
    if value > _MAX_INTEGER:
        raise place.wrong(f"at most {_MAX_INTEGER:,}")
    return value


def boolean(place: Located) -> bool:
    """Read `true` or `false`, or the 1.0 and 0.0 that mergekit writes for them."""
    if not isinstance(place.value, bool | int | float) or place.value not in (0, 1):
        raise place.wrong("true or false")
    return bool(place.value)


def number(place: Located) -> float:
    """Read a finite number, or text that is one (YAML reads `1e-3` as text)."""
    value = place.value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise place.wrong("a number")
    try:
        result = float(value)
    except (ValueError, OverflowError):
        raise place.wrong("a number") from None
    if not math.isfinite(result):
        raise place.wrong("a finite number")
    return result


def layer_range(place: Located) -> tuple[int, int]:
    """Read `[start, end]`; whether it fits the model is known later."""
    expected = "[start, end] with two whole numbers, the end exclusive"
    if not isinstance(place.value, list) or len(place.value) != len(("start", "end")):
        raise place.wrong(expected)
    start, end = (_index(place, value, expected) for value in place.value)
    return start, end


def _index(place: Located, value: object, expected: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _MAX_INTEGER:
        raise place.wrong(expected)
    return value
