"""Small files that were read whole: the same ranges, without holding a file open."""

from collections.abc import Iterator

from distexpand.errors import StorageError


class BytesReader:
    """Bytes in memory as a source file."""

    alignment = 1
    is_sparse = False

    def __init__(self, raw: bytes, *, origin: str = "in memory", version: str = "") -> None:
        """Take the bytes of a file; `origin` is what it is called in an error."""
        self._raw = raw
        self._origin = origin
        self.size = len(raw)
        self.version = version

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`."""
        if offset + len(buffer) > self.size:
            raise StorageError(
                f"{self._origin}: bytes {offset} to {offset + len(buffer)} of a file of {self.size}"
            )
        buffer[:] = self._raw[offset : offset + len(buffer)]

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield the range: nothing is known of holes."""
        yield offset, length

    def check_unchanged(self) -> None:
        """Do nothing: what is in memory doesn't change."""

    def close(self) -> None:
        """Do nothing: no file is open."""
