"""What this machine, or the container that it seems to be, gives a run."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from distexpand.doctor.findings import Found, Section, State
from distexpand.engine.space import process_memory_bytes
from distexpand.report.sizes import bytes_text, plural
from distexpand.runner.local import DEFAULT_THREADS

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")
_MEMORY = Path("/proc/meminfo")
_UNLIMITED = 1 << 60
"""The first version of control groups says so by a number of about this size."""

_KIB = 1024
_FEW_FILES = 1024


def look_at_machine() -> Section:
    """Return processors, memory and open files, as far as limits let this process have them."""
    return Section(title="This machine", found=(_processors(), _memory(), _files()))


def _processors() -> Found:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = _processor_limit()
    limit = "" if share is None or share >= count else f", limited to {share:g} of them"
    return Found(name="processors", words=f"{count}{limit}")


def _memory() -> Found:
    facts = _memory_facts()
    if not facts:
        return Found(name="memory", words="unknown here")
    total, free = facts["MemTotal"], facts["MemAvailable"]
    limits = list(_memory_limits())
    limit = min((limit for limit, _ in limits), default=None)
    free = min([free, *(limit - used for limit, used in limits)])
    words = f"{bytes_text(max(free, 0))} free of {bytes_text(total)}"
    if limit is not None and limit < total:
        words += f", limited to {bytes_text(limit)}"
    copies, transforms = (process_memory_bytes(threads=DEFAULT_THREADS, transforms=t) for t in (False, True))
    needs = f"A run takes about {bytes_text(copies)}, with transforms {bytes_text(transforms)}"
    if free < copies:
        return Found(name="memory", words=words, state=State.PROBLEM, advice=f"{needs}: free some.")
    if free < transforms:
        return Found(name="memory", words=words, state=State.ADVICE, advice=f"{needs}, and more per thread.")
    return Found(name="memory", words=words)


def _files() -> Found:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > _FEW_FILES:
        words = "no limit" if hard == resource.RLIM_INFINITY else f"up to {hard:,}"
        return Found(name="open files", words=words)
    return Found(
        name="open files",
        words=f"up to {plural(hard, 'file')}",
        state=State.ADVICE,
        advice="Models of many shards may need more: raise the hard limit (ulimit -Hn).",
    )


def _memory_facts() -> dict[str, int]:
    try:
        lines = _MEMORY.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    return {name: int(value.split()[0]) * _KIB for name, _, value in (line.partition(":") for line in lines)}


def _memory_limits() -> Iterator[tuple[int, int]]:
    """Yield limit and use of this process's control groups, from its own up, in either version."""
    for folder, limit_name, used_name in (
        *((folder, "memory.max", "memory.current") for folder in _folders("", _GROUPS)),
        *(
            (folder, "memory.limit_in_bytes", "memory.usage_in_bytes")
            for folder in _folders("memory", _GROUPS / "memory")
        ),
    ):
        limit, used = _number(folder / limit_name), _number(folder / used_name)
        if limit is not None and used is not None and limit < _UNLIMITED:
            yield limit, used


def _processor_limit() -> float | None:
    """Return how many processors' time the control groups leave to this process, if they say."""
    shares = []
    for folder in _folders("", _GROUPS):
        try:
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        except (OSError, ValueError):
            continue
        if quota.isdecimal():
            shares.append(int(quota) / int(period))
    for folder in _folders("cpu", _GROUPS / "cpu"):
        quota_us, period_us = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota_us and period_us:
            shares.append(quota_us / period_us)
    return min(shares, default=None)


def _folders(controller: str, mount: Path) -> Iterator[Path]:
    """Yield the folder of this process's group and those above it; a container sees its own as the top."""
    try:
        lines = _OWN_GROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            own = mount / path.lstrip("/")
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(mount))


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
