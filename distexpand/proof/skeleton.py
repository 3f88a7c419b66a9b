"""Skeletons: checkpoints whose headers and config are real and whose data is a hole.

The output's is what a run would write, header for header. A source's is made
from its catalog, so that one in old `.bin` files has a skeleton too. They take
kilobytes of disk, whatever the model's size.
"""

from collections.abc import Mapping
from pathlib import Path

from distexpand.formats.catalog import Catalog
from distexpand.formats.header import encode_header
from distexpand.intake.pins import read_whole
from distexpand.intake.weights import read_catalog
from distexpand.planning.model import CONFIG_NAME, Plan
from distexpand.storage.local.os_errors import storage_error
from distexpand.storage.opening import open_stores
from distexpand.storage.ranges import SourceStore

_ONLY_SHARD = "model.safetensors"


def write_output(plan: Plan, directory: Path) -> None:
    """Write what a run of the plan would leave: config, code and headers, without data and tokenizer.

    Raises:
        StorageError: it can't be written.
    """
    locations = dict(plan.locations)
    stores = open_stores(locations[plan.sources[copied.source].model] for copied in plan.copies)
    files = {text.name: text.text.encode() for text in plan.texts}
    for copied in plan.copies:
        if _is_code(copied.name):
            source = plan.sources[copied.source]
            files[copied.name] = read_whole(stores[locations[source.model]], source.path)
    _write(directory, files, {shard.name: (shard.header, shard.size) for shard in plan.shards})


def write_source(store: SourceStore, directory: Path, *, weights: bool) -> None:
    """Write a source's config and code, and with `weights` the headers of its tensors in one file.

    Raises:
        CheckpointError: the source is damaged.
        StorageError: it can't be read, or the skeleton can't be written.
    """
    found = store.files()
    files = {name: read_whole(store, name) for name in found if name == CONFIG_NAME or _is_code(name)}
    holes = {_ONLY_SHARD: _one_file(read_catalog(store, found))} if weights else {}
    _write(directory, files, holes)


def _is_code(name: str) -> bool:
    return name.endswith(".py") and "/" not in name


def _one_file(catalog: Catalog) -> tuple[bytes, int]:
    entries = list(catalog.tensors.values())
    header = encode_header(((entry.name, entry.dtype, entry.shape) for entry in entries), catalog.metadata)
    return header, len(header) + sum(entry.length for entry in entries)


def _write(directory: Path, files: Mapping[str, bytes], holes: Mapping[str, tuple[bytes, int]]) -> None:
    try:
        directory.mkdir(parents=True)
        for name, raw in files.items():
            (directory / name).write_bytes(raw)
        for name, (header, size) in holes.items():
            with (directory / name).open("wb") as file:
                file.write(header)
                file.truncate(size)
    except OSError as error:
        raise storage_error("write the skeleton", directory, error) from None
