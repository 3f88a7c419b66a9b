"""The Xet side: the real Xet client with a store on disk in the place of its servers.

The client takes `local://` as the address of a store and then does all that it
does against the servers (cutting into chunks, finding those that are known,
packing the rest), with files instead of requests. What the Hub has to know,
which digest belongs to which Xet hash, stands in the shards that the client
hands in (https://huggingface.co/docs/xet/shard).
"""

import struct
from pathlib import Path
from typing import Any

_HEADER_BYTES = 48
_ENTRY_BYTES = 48
_WITH_VERIFICATION = 1 << 31
_WITH_METADATA = 1 << 30


class XetStore:
    """Chunks of files, packed, on disk."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.address = f"local://{folder}"

    @property
    def stored_bytes(self) -> int:
        """Bytes of the packed chunks: what uploads really added."""
        return sum(path.stat().st_size for path in self._folder.glob("xet/xorbs/xorbs/default.*")) - sum(
            path.stat().st_size for path in self._folder.glob("xet/xorbs/xorbs/*.tagset")
        )

    def hash_of(self, sha256: str) -> str | None:
        """Return the Xet hash of a file that was uploaded."""
        for path in self._folder.glob("xet/xorbs/shards/*.mdb"):
            found = _files(path.read_bytes()).get(sha256)
            if found:
                return found
        return None

    def fetch(self, xet_hash: str, size: int, target: Path) -> None:
        """Write a file that was uploaded to disk."""
        import hf_xet  # noqa: PLC0415

        session: Any = hf_xet.XetSession()
        group = session.new_download_stream_group(endpoint=self.address)
        with target.open("wb") as file:
            for chunk in group.download_stream(hf_xet.XetFileInfo(xet_hash, size)):
                file.write(chunk)


def _files(shard: bytes) -> dict[str, str]:
    """Return Xet hashes by SHA-256."""
    found, position = {}, _HEADER_BYTES
    while shard[position : position + 32] != b"\xff" * 32:
        name = _text(shard[position : position + 32])
        flags, entries = struct.unpack_from("<II", shard, position + 32)
        position += _HEADER_BYTES + entries * _ENTRY_BYTES
        if flags & _WITH_VERIFICATION:
            position += entries * _ENTRY_BYTES
        if flags & _WITH_METADATA:
            found[_text(shard[position : position + 32])] = name
            position += _ENTRY_BYTES
    return found


def _text(raw: bytes) -> str:
    """Return a hash as Xet writes it: four numbers, each in its own byte order."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", raw))
