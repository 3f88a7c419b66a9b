"""The batch file: a list of expansions, read once and strictly.

Paths are relative to the file, not to where the program was started: a
scheduler starts it anywhere. YAML is read by the recipes' own reader, with its
guarantees (plain data, no cycles, no duplicate keys) and its way of naming what
is wrong. What can be told from the file alone is refused here: two expansions
that would write to one place, a hook with a misspelt placeholder.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

from distexpand.batch.hooks import PLACEHOLDERS, VERIFY, Hook
from distexpand.errors import RecipeError
from distexpand.planning.layout import Layout
from distexpand.recipe.document import read_document
from distexpand.recipe.located import Located, boolean, fields, integer, items, required, text
from distexpand.report.sizes import parse_bytes

KEYS = ("status", "at_once", "retries", "after_each", "expansions")
ENTRY_KEYS = ("recipe", "output", "models", "shard_size", "layout", "overwrite", "after")
DEFAULT_AT_ONCE = 2
DEFAULT_RETRIES = 3
MOST_AT_ONCE = 256
_HOOK = "`verify`, a command as a list of texts, or a list of these"
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """One output to be made.

    `models` is path by model name, the empty name for the model of a recipe that names none;
    `shard_size` bytes of tensor data per shard, the usual ones where nothing is said, `layout` which tensors
    share one; `after` runs in order once the output is done.
    """

    recipe: Path
    output: Path
    models: Mapping[str, str] = field(default_factory=dict)
    shard_size: int | None = None
    layout: Layout = Layout.LAYERS
    overwrite: bool = False
    after: tuple[Hook, ...] = ()

    @property
    def name(self) -> str:
        """The output's own name."""
        return self.output.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch file's content; `retries` is how often one expansion is tried again in one start."""

    path: Path
    status: Path
    at_once: int
    retries: int
    expansions: tuple[Expansion, ...]


def parse_batch(raw: str, *, path: Path) -> Batch:
    """Parse a batch file.

    Raises:
        RecipeError: naming file, key path, what was found and what would be right.
    """
    path = path.absolute()
    document = read_document(raw, origin=str(path), keywords=KEYS)
    root = Located(value=document.data, path="", origin=str(path))
    found = fields(root, KEYS, ignored=document.definitions)
    after_each = _hooks(found["after_each"]) if "after_each" in found else ()
    listed = items(required(root, found, "expansions", "a list of expansions"), "a list of expansions")
    expansions = tuple(_expansion(place, path.parent, after_each) for place in listed)
    status = found.get("status")
    batch = Batch(
        path=path,
        status=_path(status, path.parent) if status else path.with_suffix(".status.json"),
        at_once=_at_once(found["at_once"]) if "at_once" in found else DEFAULT_AT_ONCE,
        retries=_retries(found["retries"]) if "retries" in found else DEFAULT_RETRIES,
        expansions=expansions,
    )
    _refuse_collisions(batch, listed)
    _refuse_status_place(batch, status or root)
    return batch


def _at_once(place: Located) -> int:
    expected = f"how many expansions run at once, from 1 to {MOST_AT_ONCE}"
    number = integer(place, expected, minimum=1)
    if number > MOST_AT_ONCE:
        raise place.wrong(expected)
    return number


def _retries(place: Located) -> int:
    return integer(place, "how often a failed expansion is tried again, a whole number", minimum=0)


def _expansion(place: Located, folder: Path, after_each: tuple[Hook, ...]) -> Expansion:
    found = fields(place, ENTRY_KEYS)
    return Expansion(
        recipe=_path(required(place, found, "recipe", "a recipe's file"), folder),
        output=_path(required(place, found, "output", "the directory to write"), folder),
        models=dict(_models(found["models"], folder)) if "models" in found else {},
        shard_size=_shard_size(found["shard_size"]) if "shard_size" in found else None,
        layout=_layout(found["layout"]) if "layout" in found else Layout.LAYERS,
        overwrite=boolean(found["overwrite"]) if "overwrite" in found else False,
        after=_hooks(found["after"]) if "after" in found else after_each,
    )


def _path(place: Located, folder: Path) -> Path:
    """Return the absolute path, with `~` expanded and `..` taken away."""
    given = text(place, "a path")
    if "\0" in given:
        raise place.wrong("a path")
    return Path(os.path.abspath(folder / _expanded(given)))  # noqa: PTH100  # links stay as they are


def _expanded(given: str) -> Path:
    try:
        return Path(given).expanduser()
    except RuntimeError:
        return Path(given)


def _models(place: Located, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield name and place of each model; one without a name where the value is a path alone."""
    if isinstance(place.value, str):
        yield "", _model_path(place, folder)
        return
    if not isinstance(place.value, dict):
        raise place.wrong("a mapping from a model's name to its path, or the path of the only model")
    for name, value in place.value.items():
        where = Located(value=value, path=f"{place.path}.{name[:60]}", origin=place.origin)
        if not name or "=" in name:
            raise where.error("a model's name isn't empty and has no `=`")
        yield name, _model_path(where, folder)


def _model_path(place: Located, folder: Path) -> str:
    """Return a local path made absolute; an address such as `s3://...` as it is."""
    given = text(place, "a model's path")
    return given if "://" in given else str(_path(place, folder))


def _shard_size(place: Located) -> int:
    size = parse_bytes(str(place.value)) if isinstance(place.value, str | int) else None
    if size is None or isinstance(place.value, bool):
        raise place.wrong("a size such as 5GB or 500MB")
    return size


def _layout(place: Located) -> Layout:
    found = next((layout for layout in Layout if layout.value == place.value), None)
    if found is None:
        raise place.wrong(" or ".join(layout.value for layout in Layout))
    return found


def _hooks(place: Located) -> tuple[Hook, ...]:
    """Read one hook or a list of hooks; a list of texts is one command, except `[verify]`."""
    if place.value == VERIFY.name:
        return (VERIFY,)
    if not isinstance(place.value, list):
        raise place.wrong(_HOOK)
    if not place.value:
        return ()
    listed = items(place, _HOOK)
    if all(isinstance(item.value, str) for item in listed) and place.value != [VERIFY.name]:
        return (_command(place),)
    return tuple(VERIFY if item.value == VERIFY.name else _command(item) for item in listed)


def _command(place: Located) -> Hook:
    arguments = []
    for item in items(place, _HOOK):
        if not isinstance(item.value, str) or "\0" in item.value:
            raise item.wrong("an argument as text; put it in quotes")
        _refuse_misspelt(item, item.value)
        arguments.append(item.value)
    if not arguments[0].strip():
        raise place.wrong("a program's name first")
    return Hook(arguments=tuple(arguments))


def _refuse_misspelt(place: Located, argument: str) -> None:
    """Refuse `{ouput}`, which would be taken literally; other braces are the command's own."""
    for word in _PLACEHOLDER.findall(argument):
        close = difflib.get_close_matches(word.lower(), PLACEHOLDERS, n=1, cutoff=0.7)
        if close and word not in PLACEHOLDERS:
            raise place.error(f"found `{{{word}}}`; did you mean `{{{close[0]}}}`?")


def _refuse_collisions(batch: Batch, listed: list[Located]) -> None:
    """Check that no two expansions write to one place, here or where a hook puts them by name."""
    seen: dict[Path, Located] = {}
    names: dict[str, Located] = {}
    for expansion, place in zip(batch.expansions, listed, strict=True):
        target = expansion.output.resolve()
        if target in seen:
            raise place.error(f"`output` is {expansion.output}, the same as that of {seen[target].path}")
        seen[target] = place
        if any("{name}" in argument for hook in expansion.after for argument in hook.arguments):
            if expansion.name in names:
                raise place.error(
                    f"`{{name}}` is {expansion.name}, the same as that of {names[expansion.name].path}",
                    hint="A hook would put both to the same place; use {output}, or rename one.",
                )
            names[expansion.name] = place
    for outer, inner in permutations(seen, 2):
        if outer in inner.parents:
            raise seen[inner].error(f"`output` {inner} lies in that of {seen[outer].path}")


def _refuse_status_place(batch: Batch, place: Located) -> None:
    """Check that the status file takes the place of nothing else."""
    status = batch.status.resolve()
    if status == batch.path.resolve() or any(status == entry.recipe.resolve() for entry in batch.expansions):
        raise place.error(f"the status file {batch.status} would replace the batch file or a recipe")
    for expansion in batch.expansions:
        output = expansion.output.resolve()
        if output == status or output in status.parents:
            raise place.error(f"the status file {batch.status} lies in the output {expansion.output}")


def read_batch(path: Path) -> Batch:
    """Read a batch file.

    Raises:
        RecipeError: it can't be read, or isn't a batch.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: can't read the batch file: {error.strerror}") from None
    try:
        return parse_batch(raw.decode("utf-8"), path=path)
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"{path}: not UTF-8 text (byte {error.start})", hint="Convert the file to UTF-8."
        ) from None
