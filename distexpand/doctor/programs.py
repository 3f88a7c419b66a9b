"""What is installed, by what packages say of themselves: nothing is imported, which may take seconds."""

import platform
import re
from collections.abc import Mapping
from importlib import metadata

from distexpand import __version__
from distexpand.doctor.findings import Found, Section, State

_FOR = {
    "torch": "recipes that scale, cast or blend, and .bin checkpoints",
    "load": "proving that an output loads, and running it",
    "archives": "packing archives at full speed",
    "ray": "clusters",
    "hub": "models of the Hugging Face Hub",
    "stores": "S3, Google Cloud Storage, Azure, web servers",
    "demo": "distexpand demo",
}
"""What each extra is for; those that aren't here are for who works on the program."""

_REQUIREMENT = re.compile(
    r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?(?:>=([0-9.]+))?.*?;\s*extra\s*==\s*['\"](\w+)['\"]"
)
_DIGITS = re.compile(r"\d+")


def look_at_programs() -> Section:
    """Return versions, and for each extra what it lacks."""
    return Section(
        title="Program",
        found=(
            Found(name="distexpand", words=f"{__version__}, Python {platform.python_version()}"),
            *_extras(),
            _hub_transfer(),
        ),
    )


def _extras() -> list[Found]:
    try:
        wanted = _by_extra(metadata.requires("distexpand") or [])
    except metadata.PackageNotFoundError:
        return [
            Found(
                name="extras",
                words="unknown: this is a source tree that isn't installed",
                state=State.ADVICE,
                advice="Install it with: pip install .",
            )
        ]
    return [_extra(name, wanted[name]) for name in _FOR if name in wanted]


def _by_extra(requirements: list[str]) -> dict[str, dict[str, str]]:
    """Return the least version of each package by extra."""
    found: dict[str, dict[str, str]] = {}
    for text in requirements:
        match = _REQUIREMENT.match(text)
        if match:
            found.setdefault(match[3], {})[match[1]] = match[2] or ""
    return found


def _extra(name: str, packages: Mapping[str, str]) -> Found:
    here = {package: _version(package) for package in packages}
    lacking = [
        package if version is None else f"{package} {version}, needs {packages[package]}"
        for package, version in here.items()
        if version is None or _numbers(version) < _numbers(packages[package])
    ]
    if not lacking:
        return Found(name=name, words=", ".join(f"{package} {version}" for package, version in here.items()))
    return Found(
        name=name,
        words=f"lacks {', '.join(lacking)}",
        state=State.ADVICE,
        advice=f"For {_FOR[name]}: pip install 'distexpand[{name}]'",
    )


def _hub_transfer() -> Found:
    version = _version("hf-xet")
    if version is not None or _version("huggingface-hub") is None:
        return Found(name="hf-xet", words=version or "not needed without the Hub")
    return Found(
        name="hf-xet",
        words="not installed",
        state=State.ADVICE,
        advice="With it, copied layers hardly cross the network on their way to the Hub: pip install hf-xet",
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, as far as releases are compared by them."""
    return tuple(int(found[0]) for part in version.split(".")[:3] if (found := _DIGITS.match(part)))
