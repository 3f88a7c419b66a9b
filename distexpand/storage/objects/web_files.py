"""The files of a checkpoint on a web server, which can't be asked what it has.

What a checkpoint is made of is known, though: weights or an index that names them, a config, which
names custom code, and side files of usual names; an adapter has files of three names. Each of these
is asked for. Rejected: reading the servers' own pages of folders, of which there are as many kinds
as servers.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from distexpand.formats.index import (
    BIN_INDEX_NAME,
    BIN_SINGLE_NAME,
    INDEX_NAME,
    SINGLE_NAME,
    is_plain_name,
    parse_index,
)
from distexpand.formats.json_text import load_json_object
from distexpand.pauses import thread_pool
from distexpand.planning.adapters.adapter import ADAPTER_CONFIG_NAME, ADAPTER_WEIGHT_NAMES
from distexpand.planning.model import CONFIG_NAME
from distexpand.storage.objects.reader import ObjectReader
from distexpand.storage.objects.requests import Requests

_CONFIGS = (CONFIG_NAME, "tokenizer_config.json")
_INDEXES = {INDEX_NAME: ".safetensors", BIN_INDEX_NAME: ".bin"}
_USUAL = (
    SINGLE_NAME,
    BIN_SINGLE_NAME,
    *_INDEXES,
    *_CONFIGS,
    ADAPTER_CONFIG_NAME,
    *ADAPTER_WEIGHT_NAMES,
    "LICENSE",
    "LICENSE.md",
    "LICENSE.txt",
    "NOTICE",
    "USE_POLICY.md",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tekken.json",
    "tokenizer.json",
    "tokenizer.model",
    "video_preprocessor_config.json",
    "vocab.json",
    "vocab.txt",
)
_AT_ONCE = 8


def web_files(requests: Requests) -> dict[str, int]:
    """Return the files of a checkpoint on a web server, with their sizes.

    Raises:
        CheckpointError: an index or config is damaged.
        StorageError: the server can't be asked, or has nothing of what makes a checkpoint.
    """
    found = _sizes(requests, _USUAL)
    if not found:
        requests.version(CONFIG_NAME)  # says why
    named: set[str] = set()
    for index, suffix in _INDEXES.items():
        if index in found:
            weight_map = parse_index(_read(requests, index), origin=requests.place(index), suffix=suffix)
            named.update(weight_map.values())
    for config in _CONFIGS:
        if config in found:
            named.update(_code(load_json_object(_read(requests, config), origin=requests.place(config))))
    return found | _sizes(requests, named - set(found))


def _sizes(requests: Requests, names: Collection[str]) -> dict[str, int]:
    with thread_pool(_AT_ONCE) as pool:
        found = zip(sorted(names), pool.map(requests.version_of_file, sorted(names)), strict=True)
        return {name: version.size for name, version in found if version}


def _read(requests: Requests, name: str) -> bytes:
    """Return a small file's bytes."""
    reader = ObjectReader(requests, name)
    raw = bytearray(reader.size)
    reader.read_into(0, memoryview(raw))
    return bytes(raw)


def _code(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the files of the custom code that a config names: `MODULE.CLASS`, once or in lists."""
    named = config.get("auto_map")
    for value in named.values() if isinstance(named, dict) else ():
        for entry in value if isinstance(value, list) else [value]:
            module, dot, _ = entry.partition(".") if isinstance(entry, str) else ("", "", "")
            if dot and is_plain_name(module):
                yield f"{module}.py"
