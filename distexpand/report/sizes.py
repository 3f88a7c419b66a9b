"""How figures are written and read for people: bytes, parameters, durations, rates.

One place, so that the plan, the progress line and the model card never
disagree about the same number. Bytes are decimal (5 GB is 5,000,000,000)
because shard sizes on the Hub are. Rounding comes before the choice of the
unit: 999,999 bytes are `1.00 MB`, never `1000 kB`.
"""

import re
from collections.abc import Callable

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kMGT]?i?)B?\s*$", re.IGNORECASE)
_SIZE_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}
_MAX_SIZE = 10**18
_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_COUNT_UNITS = ("", "K", "M", "B", "T", "Q")
_SECONDS_MATTER = 9.5
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def parse_bytes(text: str) -> int | None:
    """Return the bytes of a size such as `5GB` (decimal, as on the Hub) or `512MiB`, if it is one."""
    match = _SIZE.match(text)
    factor = _SIZE_UNITS.get(match[2].lower()) if match else None
    size = float(match[1]) * factor if match is not None and factor is not None else 0.0
    return int(size) if 1 <= size <= _MAX_SIZE else None


def bytes_text(count: float) -> str:
    """Return a number of bytes with three significant digits: `5.00 GB`, `13.4 MB`, `512 B`."""
    if count < 999.5:  # noqa: PLR2004 -- what still rounds to three digits
        return f"{count:.0f} B"
    number, unit = _scaled(count, len(_BYTE_UNITS) - 1, decimals=_three_digits)
    return f"{number} {_BYTE_UNITS[unit]}"


def count_text(count: int) -> str:
    """Return a number of parameters as model names write it: `134.5M`, `8.03B`, `118B`."""
    number, unit = _scaled(count, len(_COUNT_UNITS) - 1, decimals=_model_name_digits)
    return (number.rstrip("0").rstrip(".") if "." in number else number) + _COUNT_UNITS[unit]


def rate_text(bytes_per_second: float) -> str:
    """Return a transfer rate: `412 MB/s`."""
    return f"{bytes_text(bytes_per_second)}/s"


def share_text(part: int, whole: int) -> str:
    """Return a share in percent; what isn't nothing or all never reads `0%` or `100%`."""
    if whole == 0 or part == 0:
        return "0%"
    if part >= whole:
        return "100%"
    percent = 100 * part / whole
    if percent < 1:
        return "<1%"
    return f"{min(percent, 99):.0f}%"


def duration_text(seconds: float) -> str:
    """Return a duration in its two largest units: `0.4 s`, `12 s`, `3 min 05 s`, `2 d 03 h`."""
    if seconds < 9.95:  # noqa: PLR2004 -- what still rounds to one digit before the point
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR:02d} h"


def remaining_text(seconds: float) -> str:
    """Return an estimate of the time left, in whole seconds at finest: `3 s left`."""
    return (
        f"{duration_text(max(seconds, 10))} left" if seconds >= _SECONDS_MATTER else f"{seconds:.0f} s left"
    )


def number_text(count: int) -> str:
    """Return an exact number with thousands separated: `1,234`."""
    return f"{count:,}"


def plural(count: int, noun: str) -> str:
    """Return a number with its noun: `1 layer`, `8 layers`."""
    return f"{number_text(count)} {noun}" if count == 1 else f"{number_text(count)} {noun}s"


def _scaled(count: float, last_unit: int, *, decimals: Callable[[float], int]) -> tuple[str, int]:
    """Return the digits and the position of the unit, so that the digits stay below 1000."""
    unit = 0
    value = float(count)
    while True:
        number = f"{value:.{decimals(value) if unit else 0}f}"
        if float(number) < 1000 or unit == last_unit:  # noqa: PLR2004 -- units step by a thousand
            return number, unit
        value /= 1000
        unit += 1


def _three_digits(value: float) -> int:
    return 2 if value < 9.995 else 1 if value < 99.95 else 0  # noqa: PLR2004 -- digits before the point


def _model_name_digits(value: float) -> int:
    return 2 if value < 9.995 else 1  # noqa: PLR2004 -- digits before the point
