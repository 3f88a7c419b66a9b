"""Structure: is every file there and whole, do index, headers, manifest and config agree."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from distexpand.architecture.stacks.stack import find_layer_stack
from distexpand.commit.manifest import MANIFEST_NAME, Manifest, decode_manifest
from distexpand.commit.work_directory import DONE_PREFIX, NOTICE_NAME, current
from distexpand.errors import DistexpandError, OutputError
from distexpand.formats.catalog import Catalog
from distexpand.formats.header import parse_header
from distexpand.formats.index import INDEX_NAME, SINGLE_NAME
from distexpand.formats.json_text import load_json_object
from distexpand.intake.locate import did_you_mean_path
from distexpand.intake.pins import digest as sha256
from distexpand.intake.pins import read_header, read_whole
from distexpand.intake.weights import read_catalog
from distexpand.planning.model import CONFIG_NAME
from distexpand.runner.place import Output, output_store
from distexpand.storage.local.directories import WORK_DIRECTORY
from distexpand.storage.local.os_errors import storage_error
from distexpand.storage.ranges import SourceStore
from distexpand.verifying.report import Difference, reason

CHECK = "structure"
_WEIGHT_ENDINGS = (".safetensors", ".bin", ".safetensors.index.json", ".bin.index.json")


def read_manifest(output: Output) -> Manifest:
    """Return an output's manifest.

    Raises:
        OutputError: there is none: the output is unfinished or not ours.
        CheckpointError: it is damaged.
        StorageError: it can't be read.
    """
    if isinstance(output, Path):
        _require_manifest(output)
    store = output_store(output)
    if MANIFEST_NAME not in store.files():
        raise OutputError(
            f"{output}: has no {MANIFEST_NAME}: it is unfinished, or distexpand didn't make it",
            hint="If a run was interrupted, go on with `distexpand run RECIPE OUT --resume`.",
        )
    return decode_manifest(read_whole(store, MANIFEST_NAME), origin=f"{output}/{MANIFEST_NAME}")


def _require_manifest(output: Path) -> None:
    if os.path.isfile(output / MANIFEST_NAME):  # noqa: PTH113  # false, not an error, for a name too long
        return
    if current(output).exists():
        raise OutputError(
            f"{output}: unfinished: it has no {MANIFEST_NAME} yet",
            hint="Go on with `distexpand run RECIPE OUT --resume`.",
        )
    if not os.path.isdir(output):  # noqa: PTH112  # as above
        what = "is a file, not a directory" if os.path.exists(output) else "no such directory"  # noqa: PTH110
        hint = did_you_mean_path(output) or "Give the directory that `distexpand run` wrote."
        raise OutputError(f"{output}: {what}", hint=hint)
    raise OutputError(
        f"{output}: has no {MANIFEST_NAME}; distexpand didn't make it, or not to its end",
        hint="If a run was interrupted, go on with `distexpand run RECIPE OUT --resume`.",
    )


def leftovers(output: Output) -> tuple[str, ...]:
    """Say what an unfinished run left beside a manifest; it does no harm."""
    if not isinstance(output, Path):
        return ()
    return tuple(
        f"{name} is left over from a run; the output is finished without it, and it can go"
        for name in sorted(path.name for path in _listed(output))
        if name in {WORK_DIRECTORY, NOTICE_NAME} or name.startswith(DONE_PREFIX)
    )


def unrecorded(manifest: Manifest) -> int:
    """Return how many tensors the manifest has no digest of."""
    return sum(not digest for shard in manifest.shards for digest in shard.tensors.values())


def unrecorded_note(count: int) -> tuple[str, ...]:
    """Say so, if there are any."""
    if not count:
        return ()
    note = (
        f"{count:,} tensors share blocks with their sources and had never been read: the manifest has no "
        "digests of them; `distexpand verify --record` adds those that it finds"
    )
    return (note,)


def check_structure(store: SourceStore, manifest: Manifest) -> Iterator[Difference]:
    """Yield what is wrong with files, headers, index and config."""
    files = store.files()
    broken = [
        *_small_files(store, files, manifest),
        *_unknown_weights(files, manifest),
        *_shards(store, files, manifest),
    ]
    yield from broken
    if broken:
        return
    try:
        catalog = read_catalog(store, files)
    except DistexpandError as error:
        index = SINGLE_NAME if len(manifest.shards) == 1 else INDEX_NAME
        yield _difference(index, reason(error, store.location, index))
        return
    yield from _catalog(manifest, catalog)
    yield from _config(store, manifest, catalog)


def _small_files(store: SourceStore, files: Mapping[str, int], manifest: Manifest) -> Iterator[Difference]:
    for name, digest in manifest.files.items():
        if name not in files:
            yield _difference(name, "missing")
            continue
        try:
            found = sha256(read_whole(store, name))
        except DistexpandError as error:
            yield _difference(name, reason(error, store.location, name))
            continue
        if found != digest:
            yield _difference(name, "isn't as it was written (SHA-256 differs)")


def _unknown_weights(files: Mapping[str, int], manifest: Manifest) -> Iterator[Difference]:
    """Yield weights beside ours, which a loader may take instead of or in addition to them."""
    known = set(manifest.file_names)
    for name in sorted(files):
        if "/" not in name and name not in known and name.endswith(_WEIGHT_ENDINGS):
            yield _difference(name, "weights that the manifest doesn't know")


def _listed(output: Path) -> list[Path]:
    try:
        return list(output.iterdir())
    except OSError as error:
        raise storage_error("list", output, error) from None


def _shards(store: SourceStore, files: Mapping[str, int], manifest: Manifest) -> Iterator[Difference]:
    for shard in manifest.shards:
        size = files.get(shard.name)
        if size is None:
            yield _difference(shard.name, "missing")
            continue
        if size != shard.size:
            yield _difference(shard.name, f"has {size} bytes, the manifest says {shard.size}")
            continue
        origin = _origin(store, shard.name)
        try:
            raw, _ = read_header(store, shard.name)
            header = parse_header(raw, file_size=size, origin=origin)
        except DistexpandError as error:
            yield _difference(shard.name, reason(error, store.location, shard.name))
            continue
        if header.tensors.keys() != shard.tensors.keys():
            name = min(header.tensors.keys() ^ shard.tensors.keys())
            yield _difference(shard.name, "header and manifest don't name the same tensors", tensor=name)


def _catalog(manifest: Manifest, catalog: Catalog) -> Iterator[Difference]:
    parameters = sum(entry.parameters for entry in catalog.tensors.values())
    if parameters != manifest.parameters:
        yield _difference(
            MANIFEST_NAME, f"says {manifest.parameters} parameters, the shards have {parameters}"
        )


def _config(store: SourceStore, manifest: Manifest, catalog: Catalog) -> Iterator[Difference]:
    origin = _origin(store, CONFIG_NAME)
    try:
        config = load_json_object(read_whole(store, CONFIG_NAME), origin=origin)
        stack = find_layer_stack(catalog.tensors, config, origin=store.location, wanted=manifest.layer_prefix)
    except DistexpandError as error:
        yield _difference(CONFIG_NAME, reason(error, store.location, CONFIG_NAME))
        return
    if stack.prefix != manifest.layer_prefix or stack.num_layers != len(manifest.layers):
        yield _difference(
            CONFIG_NAME,
            f"{'.'.join(stack.count_path)} = {stack.num_layers} of {stack.prefix}, "
            f"the manifest says {len(manifest.layers)} of {manifest.layer_prefix}",
        )


def _origin(store: SourceStore, name: str) -> str:
    return f"{store.location}/{name}"


def _difference(file: str, message: str, *, tensor: str = "") -> Difference:
    return Difference(check=CHECK, file=file, tensor=tensor, message=message)
