"""Parameter settings: numbers, gradients and conditional values, as mergekit reads them.

A setting is a number, a list of numbers (a gradient over the slice's layers), or one
or more `{filter, value}`, whose values are numbers or gradients. Levels (source,
slice, whole recipe) fall through where nothing matches, so a value's levels are
simply the concatenation of their conditions.
"""

from collections.abc import Mapping

from distexpand.recipe.canonical import Rule
from distexpand.recipe.draft import Gradient
from distexpand.recipe.located import Located, fields, items, number, required, text

_MAX_CONDITIONS = 100
_SETTING = "a number, a list of numbers, or a list of {filter, value}"


def parse_setting(place: Located) -> tuple[Gradient, ...]:
    """Read one setting; an empty list is the same as none."""
    if isinstance(place.value, dict):
        return (_condition(place),)
    if not isinstance(place.value, list):
        return (Gradient(filter=None, values=_values(place)),)
    if not place.value:
        return ()
    if any(isinstance(item, dict) for item in place.value):
        return tuple(_condition(item) for item in items(place, _SETTING, most=_MAX_CONDITIONS))
    return (Gradient(filter=None, values=_values(place)),)


def _condition(place: Located) -> Gradient:
    found = fields(place, ("filter", "value"))
    value = required(place, found, "value", "a number or a list of numbers")
    return Gradient(filter=_filter(found), values=_values(value))


def _filter(found: Mapping[str, Located]) -> str | None:
    """Read a filter; `*`, the empty filter and no filter all match everything."""
    place = found.get("filter")
    if place is None or place.value in ("", "*"):
        return None
    return text(place, "a part of tensor names, as text")


def _values(place: Located) -> tuple[float, ...]:
    if isinstance(place.value, list):
        return tuple(number(item) for item in items(place, "a list of numbers"))
    if isinstance(place.value, bool | dict) or place.value is None:
        raise place.wrong(_SETTING)
    return (number(place),)


def parse_rules(place: Located) -> tuple[Rule, ...]:
    """Read rules of plain numbers: a list of `{filter, value}`, or a mapping from filter to value."""
    if isinstance(place.value, dict) and not {"filter", "value"} & place.value.keys():
        places = [
            Located(value={"filter": key, "value": value}, path=f"{place.path}.{key}", origin=place.origin)
            for key, value in place.value.items()
        ]
    else:
        expected = "a list of {filter, value}, or a mapping from filter to number"
        single = isinstance(place.value, dict)
        places = [place] if single else items(place, expected, most=_MAX_CONDITIONS)
    return tuple(_rule(item) for item in places)


def _rule(place: Located) -> Rule:
    found = fields(place, ("filter", "value"))
    return Rule(filter=_filter(found), value=number(required(place, found, "value", "a number")))
