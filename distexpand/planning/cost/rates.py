"""Rates as people write them, and the storage that a prediction assumes.

`25Gbps` and `100MB/s` become bytes a second, `s3` or `read=10GB/s,write=5GB/s`
a `Storage`. Kinds carry stated figures only (see docs/cost-model.md): what a
provider publishes as a limit, or what a plain server's port allows. A kind is
a starting point for a guess; whoever has measured says so in numbers.
"""

import math
import re
from dataclasses import dataclass, replace
from typing import Any

from distexpand.closeness import did_you_mean
from distexpand.errors import UsageError

_RATE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kMGT]?i?)(bps|bit/s|B/s)\s*$", re.IGNORECASE)
_PREFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_PREFIXES |= {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_MOST = 1e15
_RATE_HINT = "Write bits as 25Gbps and bytes as 100MB/s."
_GIB = 2.0**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What sources are read from and the output is written to; infinite where no limit is known.

    `read` and `write` are bytes a second in all, `stream` bytes a second of one request,
    `gets` and `puts` requests a second. `holes`: zeros needn't be written. `remote`: bytes
    go over the nodes' links; a disk that isn't is one machine's own.
    """

    name: str
    read: float = math.inf
    write: float = math.inf
    stream: float = math.inf
    gets: float = math.inf
    puts: float = math.inf
    holes: bool = True
    remote: bool = True


UNLIMITED = Storage(name="unlimited")

STORAGES: dict[str, Storage] = {
    storage.name: storage
    for storage in (
        UNLIMITED,
        Storage(name="nvme", read=3e9, write=2e9, remote=False),
        Storage(name="nfs", read=1.25e9, write=1.25e9),
        Storage(name="lustre", read=10e9, write=10e9),
        Storage(name="efs", read=10 * _GIB, write=_GIB),
        Storage(name="s3", stream=85e6, gets=5500, puts=3500, holes=False),
        Storage(name="gcs", gets=5000, puts=1000, holes=False),
        Storage(name="azure", read=6.25e9, write=3.125e9, gets=20000, puts=20000, holes=False),
    )
}

_COUNTS = ("gets", "puts", "requests")
_FIGURES = ("read", "write", "stream", *_COUNTS)


def parse_rate(text: str, *, option: str) -> float:
    """Return the bytes a second of a rate such as `25Gbps` or `100MB/s`.

    Raises:
        UsageError: the text isn't a rate; names the option.
    """
    match = _RATE.match(text)
    prefix = _PREFIXES.get(match[2].lower()) if match else None
    if match is None or prefix is None:
        raise UsageError(f"{option} {text!r} is not a rate", hint=_RATE_HINT)
    bits = match[3].lower() != "b/s"
    rate = float(match[1]) * prefix / (8 if bits else 1)
    if not 1 <= rate <= _MOST:
        raise UsageError(f"{option} {text!r}: a rate from 1 B/s to 1 PB/s was expected", hint=_RATE_HINT)
    return rate


def parse_storage(text: str, *, option: str = "--storage") -> Storage:
    """Return the storage of a kind's name, of figures, or of a kind with some figures changed.

    `s3`, `read=10GB/s,write=5GB/s,requests=3500`, `s3,gets=11000`. `requests` is `gets` and
    `puts` at once.

    Raises:
        UsageError: an unknown kind or figure, a figure twice, or not a number.
    """
    words = [word.strip() for word in text.split(",")]
    kind, figures = (words[0], words[1:]) if "=" not in words[0] else ("", words)
    if kind and kind not in STORAGES:
        raise UsageError(
            f"{option} {text!r}: unknown kind of storage {kind!r}",
            hint=did_you_mean(kind, STORAGES)
            or f"Kinds are {', '.join(STORAGES)}; or give figures: read=10GB/s,write=5GB/s,requests=3500.",
        )
    if not kind and not any(figures):
        raise UsageError(f"{option} is empty", hint=f"Kinds are {', '.join(STORAGES)}.")
    changes = _figures(figures, option)
    storage = STORAGES[kind] if kind else Storage(name="as given")
    return replace(storage, **changes)


def _figures(words: list[str], option: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = (part.strip() for part in word.partition("="))
        if not equals or (key not in _FIGURES):
            raise UsageError(
                f"{option}: {word!r} isn't a figure",
                hint="Figures are read, write and stream (rates), gets, puts and requests (a second).",
            )
        number = (
            _count(value, f"{option} {key}")
            if key in _COUNTS
            else parse_rate(value, option=f"{option} {key}")
        )
        for name in ("gets", "puts") if key == "requests" else (key,):
            if name in found:
                raise UsageError(
                    f"{option}: {name} is given twice", hint="`requests` stands for both gets and puts."
                )
            found[name] = number
    return found


def _count(text: str, option: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= _MOST:
        raise UsageError(
            f"{option} {text!r}: requests a second were expected", hint="Write it as requests=3500."
        )
    return number
