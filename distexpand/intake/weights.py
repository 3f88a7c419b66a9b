"""From a checkpoint's files to its catalog: headers and index only.

Index and headers have to tell the same story: a tensor that only one of them
knows is an error here, before anything is planned, as it means a missing,
stale or mixed-up shard.
"""

from collections.abc import Iterator

from distexpand.errors import CheckpointError
from distexpand.formats.catalog import Catalog, TensorEntry, WeightFile
from distexpand.formats.header import parse_header
from distexpand.formats.index import (
    BIN_INDEX_NAME,
    BIN_SINGLE_NAME,
    INDEX_NAME,
    SINGLE_NAME,
    parse_index,
)
from distexpand.formats.json_text import brief
from distexpand.intake.pickled import read_pickled
from distexpand.intake.pins import digest, read_header, read_whole
from distexpand.pauses import thread_pool
from distexpand.storage.ranges import SourceStore


def read_catalog(store: SourceStore, files: dict[str, int]) -> Catalog:
    """Return the catalog of a checkpoint, in the order that transformers looks for weights.

    Raises:
        CheckpointError: no weights, or headers and index that don't agree.
    """
    if SINGLE_NAME in files:
        return read_shards(store, [SINGLE_NAME])
    if INDEX_NAME in files:
        return _read_indexed(store, files, INDEX_NAME)
    if BIN_SINGLE_NAME in files:
        return read_shards(store, [BIN_SINGLE_NAME])
    if BIN_INDEX_NAME in files:
        return _read_indexed(store, files, BIN_INDEX_NAME)
    orphans = sorted(name for name in files if name.endswith(".safetensors"))
    raise CheckpointError(
        f"{store.location}: no weights found: neither {SINGLE_NAME} nor {INDEX_NAME}, nor old .bin files",
        hint=f"{orphans[0]} is there, but no index names it." if orphans else "Is this a model's directory?",
    )


def _read_indexed(store: SourceStore, files: dict[str, int], index_name: str) -> Catalog:
    origin = f"{store.location}/{index_name}"
    suffix = ".bin" if index_name == BIN_INDEX_NAME else ".safetensors"
    weight_map = parse_index(read_whole(store, index_name), origin=origin, suffix=suffix)
    shards = sorted(set(weight_map.values()))
    missing = [name for name in shards if name not in files]
    if missing:
        raise CheckpointError(
            f"{origin}: names {missing[0]}, which isn't there "
            f"({len(missing)} of {len(shards)} shards missing)",
            hint="Download the missing shards.",
        )
    catalog = read_shards(store, shards)
    _check_index(weight_map, catalog, origin)
    return catalog


def _check_index(weight_map: dict[str, str], catalog: Catalog, origin: str) -> None:
    if weight_map == {name: entry.file for name, entry in catalog.tensors.items()}:
        return
    for name, shard in weight_map.items():
        entry = catalog.tensors.get(name)
        if entry is None or entry.file != shard:
            where = "no shard has it" if entry is None else f"it lies in {entry.file}"
            raise CheckpointError(f"{origin}: tensor {brief(name)} should lie in {shard}, but {where}")
    for name, entry in catalog.tensors.items():
        if name not in weight_map:
            raise CheckpointError(f"{origin}: tensor {brief(name)} of {entry.file} is missing in the index")


def read_shards(store: SourceStore, shards: list[str]) -> Catalog:
    """Return the catalog of some files of weights, whose tensors have to be different ones.

    Raises:
        CheckpointError: a file is damaged, or two hold the same tensor.
    """
    tensors: dict[str, TensorEntry] = {}
    weight_files: dict[str, WeightFile] = {}
    metadata: dict[str, str] = {}
    for shard, (entries, weight_file, shard_metadata) in zip(shards, _headers(store, shards), strict=True):
        for entry in entries:
            if entry.name in tensors:
                other = tensors[entry.name].file
                raise CheckpointError(
                    f"{store.location}/{shard}: tensor {brief(entry.name)} lies in {other} as well"
                )
            tensors[entry.name] = entry
        weight_files[shard] = weight_file
        metadata = metadata or shard_metadata
    if not tensors:
        raise CheckpointError(f"{store.location}: the weight files hold no tensor")
    return Catalog(tensors=tensors, files=weight_files, metadata=metadata)


Shard = tuple[list[TensorEntry], WeightFile, dict[str, str]]
_AT_ONCE = 8


def _headers(store: SourceStore, shards: list[str]) -> Iterator[Shard]:
    """Yield what each shard's header says, in order: several at once, as a server may take its time."""
    if any(name.endswith(".bin") for name in shards):  # torch's fake mode is for one thread
        for shard in shards:
            entries, weight_file = read_pickled(store, shard)
            yield entries, weight_file, {}
        return
    with thread_pool(_AT_ONCE) as pool:
        yield from pool.map(lambda shard: _read_shard(store, shard), shards)


def _read_shard(store: SourceStore, shard: str) -> Shard:
    raw, size = read_header(store, shard)
    header = parse_header(raw, file_size=size, origin=f"{store.location}/{shard}")
    entries = [
        TensorEntry(name, t.dtype, t.shape, shard, t.offset, t.length) for name, t in header.tensors.items()
    ]
    return entries, WeightFile(name=shard, size=size, pin=digest(raw)), dict(header.metadata)
