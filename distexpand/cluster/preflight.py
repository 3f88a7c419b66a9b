"""Preflight: every node is asked to look at output, sources and versions before any shard is begun.

The classic mistake is a path that each node has for itself: everything seems
to work and every node keeps its own part of the model. So the driver writes a
marker where the output will be, each node reads it and leaves one of its own,
and the driver looks for those. The folder of the markers goes again.

All nodes look at once, and one that doesn't answer is given up after a while,
so that preflight takes seconds on a sound cluster and a minute at the most.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from distexpand.cluster.node_check import MARKER_NAME, look_around, own_versions, sample_sources
from distexpand.cluster.nodes import Node
from distexpand.cluster.task import OrderedSource
from distexpand.cluster.verdict import Expected, other_content, problem_of, suspects
from distexpand.commit.files import make_directory
from distexpand.commit.work_directory import PREFLIGHT_PREFIX
from distexpand.errors import DistexpandError, StorageError, UsageError
from distexpand.storage.local.directories import WORK_DIRECTORY
from distexpand.storage.local.os_errors import storage_error

ANSWER_SECONDS = 60.0
INSTALL_SECONDS = 600.0
"""For nodes that first have to install what the job brings (`--pip`)."""

_FETCH_SECONDS = 10.0


def expected(
    output: Path,
    sources: tuple[OrderedSource, ...],
    versions_of_sources: Sequence[str],
    *,
    transforms: bool,
    needed: int,
) -> Expected:
    """Return what every node has to find, with this process's own versions."""
    return Expected(
        output=output,
        sources=sources,
        versions_of_sources=tuple(versions_of_sources),
        versions=own_versions(),
        transforms=transforms,
        needed=needed,
    )


def check_nodes(nodes: Mapping[str, Node], wanted: Expected) -> dict[str, DistexpandError]:
    """Ask every node to look around at once, and return what is wrong with which, by node id.

    Raises:
        StorageError: the marker can't be written here.
    """
    with _markers(wanted.output) as (folder, text):
        asked = {key: _on(key, look_around).remote(str(folder), key, wanted.sources) for key in nodes}
        views, wrong = _answers(asked, nodes)
        for key, view in views.items():
            returned = _text_of(folder / key)
            error = problem_of(view, nodes[key], wanted, marker=text, returned=returned)
            if error is not None:
                wrong[key] = error
    doubtful = {key: suspects(view, wanted) for key, view in views.items() if key not in wrong}
    return wrong | _compare_samples({key: files for key, files in doubtful.items() if files}, nodes)


def require_nodes(nodes: Mapping[str, Node], wrong: Mapping[str, DistexpandError]) -> None:
    """Refuse to begin while any node has something wrong.

    Raises:
        UsageError: a node can't ever do the work as it is called.
        StorageError: a node lacks something.
    """
    if not wrong:
        return
    first = min(wrong.values(), key=lambda error: not isinstance(error, UsageError))
    more = "" if len(wrong) == 1 else f" ({len(wrong)} of {len(nodes)} nodes have such a problem)"
    raise type(first)(f"{first.message}{more}", hint=first.hint)


@contextmanager
def _markers(output: Path) -> Iterator[tuple[Path, str]]:
    """Make a folder with the driver's marker inside the output; remove it, and what was made for it."""
    made = [path for path in (output, *output.parents) if not path.exists()]
    text = secrets.token_hex(16)
    folder = output / WORK_DIRECTORY / f"{PREFLIGHT_PREFIX}{text[:8]}"
    try:
        make_directory(folder)
        try:
            (folder / MARKER_NAME).write_text(text, encoding="ascii")
        except OSError as error:
            raise storage_error("write", folder / MARKER_NAME, error) from None
        yield folder, text
    finally:
        _clear(folder, made)


def _clear(folder: Path, made: list[Path]) -> None:
    with suppress(OSError):
        for path in folder.iterdir():
            path.unlink()
    for path in (folder, folder.parent, *made):
        with suppress(OSError):
            path.rmdir()


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _on(node_id: str, function: Any) -> Any:
    remote = ray.remote(num_cpus=0, max_retries=1)(function)
    return remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False))


def _answers(
    asked: Mapping[str, Any], nodes: Mapping[str, Node]
) -> tuple[dict[str, Any], dict[str, DistexpandError]]:
    """Wait for the nodes' answers; return them, and the errors of nodes that gave none."""
    if not asked:
        return {}, {}
    ready, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=_patience())
    answers, wrong, came = {}, {}, set(ready)
    for key, reference in asked.items():
        if reference not in came:
            # A worker that hangs in a system call would stay there for ever.
            with suppress(ray.exceptions.RayError):
                ray.cancel(reference, force=True)
            wrong[key] = _silence(nodes[key])
            continue
        try:
            answers[key] = ray.get(reference, timeout=_FETCH_SECONDS)
        except ray.exceptions.GetTimeoutError:
            wrong[key] = _silence(nodes[key])
        except ray.exceptions.RayError as error:
            wrong[key] = _unable(nodes[key], error)
    return answers, wrong


def _patience() -> float:
    return INSTALL_SECONDS if ray.get_runtime_context().runtime_env.get("pip") else ANSWER_SECONDS


def _silence(node: Node) -> DistexpandError:
    return StorageError(
        f"node {node.name} didn't answer within {_patience():.0f} s",
        hint="Is it overloaded, or does its mount of a source or the output hang?",
    )


def _unable(node: Node, error: Exception) -> DistexpandError:
    lines = [line for line in str(error).splitlines() if line.strip()]
    reason = lines[-1].strip() if lines else type(error).__name__
    missing = isinstance(getattr(error, "cause", None), ModuleNotFoundError) or "No module named" in reason
    return StorageError(
        f"node {node.name} can't run our code: {reason}",
        hint="Install distexpand on every node, or use `submit`, which sends it along." if missing else "",
    )


def _compare_samples(
    doubtful: Mapping[str, tuple[OrderedSource, ...]], nodes: Mapping[str, Node]
) -> dict[str, DistexpandError]:
    """Compare pieces of files that nodes have copies of with those here."""
    asked = {key: _on(key, sample_sources).remote(files) for key, files in doubtful.items()}
    every = tuple(dict.fromkeys(source for files in doubtful.values() for source in files))
    here = dict(zip(every, sample_sources(every), strict=True))
    answers, wrong = _answers(asked, nodes)
    for key, samples in answers.items():
        pairs = zip(doubtful[key], samples, strict=True)
        differing = [source for source, sample in pairs if sample != here[source]]
        if differing:
            wrong[key] = other_content(differing[0], nodes[key])
    return wrong
