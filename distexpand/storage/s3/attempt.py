"""Attempts at output files on S3: one multipart upload each, fed as the file is made.

Nothing touches a disk here. `finish` makes every part durable and leaves the upload open; its id is
in the attempt's name, so that the committer gives the final name by completing it, from whichever
process. What a worker drops it aborts. What a dead worker drops nobody sees, but the store keeps
and bills it until an output's next committer, or `distexpand clean`, aborts it.
"""

from typing import Any, Self, cast

from distexpand.errors import StorageError
from distexpand.storage.address import Address
from distexpand.storage.objects.part_grid import LEAST_PART, Part, PartGrid, part_size
from distexpand.storage.ranges import RangeReader
from distexpand.storage.s3.made import Copied, MadeCopies
from distexpand.storage.s3.sharing import PartCopies, find_object, whole_parts
from distexpand.storage.s3.uploads import S3Uploads, Upload


class S3Output:
    """Begins attempts at the files of an output on S3."""

    def __init__(
        self,
        address: Address,
        *,
        run: str = "",
        shares: bool = False,
        least_part: int = LEAST_PART,
        client: Any = None,
    ) -> None:
        """Say where objects are made.

        Args:
            address: the output's folder.
            run: the name of the run, kept with each object.
            shares: whether the store may copy parts from sources that lie in it, and from finished shards.
            least_part: bytes of a part, unless a file needs larger ones.
            client: boto3's; one for the environment, if not given.
        """
        self.uploads = S3Uploads(address, client)
        self._run = run
        self.shares = shares
        self._least_part = least_part
        self.copies = MadeCopies()
        self.location = str(address)

    def begin(self, final_name: str, size: int) -> "S3Attempt":
        """Begin an upload of a file of `size` bytes."""
        grid = PartGrid(size, part_size(size, least=self._least_part))
        return S3Attempt(self, grid, self.uploads.begin(final_name, run=self._run))


class S3Attempt:
    """An upload in progress; every byte may be given once, and only the file's beginning is read back."""

    def __init__(self, output: S3Output, grid: PartGrid, upload: Upload) -> None:
        self._output = output
        self._grid = grid
        self._upload = upload
        self._beginning = b""
        self._finished = False
        self.name = self._upload.name

    def reserve(self, offset: int, length: int) -> None:
        """Do nothing: a store has room."""

    def share(self, source: object, source_offset: int, offset: int, length: int) -> tuple[int, int]:
        """Have the store copy the whole parts of a range from the source, or from a shard that has them.

        Raises:
            StorageError: it doesn't copy them, and neither can they be read and sent.
        """
        if not self._output.shares or isinstance(source, S3Attempt):
            return offset, offset
        reader = cast(RangeReader, source)  # noqa: TC006  # what isn't an attempt
        copied = Copied(source=source, source_offset=source_offset, offset=offset, length=length)
        self._output.copies.asked(self.name, copied)
        shift = offset - source_offset
        found = find_object(reader, source_offset, length, self._output.copies)
        first, stop = whole_parts(self._grid, found.source_offset + shift, found.length) if found else (0, 0)
        if found is None or first >= stop or not self._grid.take_whole(first, stop):
            return offset, offset
        copies = PartCopies(self._output.uploads, self._upload, self._grid, reader, shift=shift)
        if not copies.copy(found, first, stop):
            self._output.shares = False
        return first * self._grid.part_bytes, min(stop * self._grid.part_bytes, self._grid.size)

    def write(self, offset: int, buffer: memoryview) -> None:
        """Take the buffer's bytes, and send the parts that are complete with them.

        Raises:
            StorageError: some were given before, or sending failed.
        """
        if offset == 0:
            self._beginning = bytes(buffer)
        for part in self._grid.write(offset, buffer):
            self._send(part)

    def leave_zero(self, offset: int, length: int) -> None:
        """Take note that a range stays zero, and send the parts that are complete now."""
        for part in self._grid.leave_zero(offset, length):
            self._send(part)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from what was written first, at the file's beginning.

        Raises:
            StorageError: the range isn't all of that: an upload can't be read.
        """
        end = offset + len(buffer)
        if end > len(self._beginning):
            raise StorageError(f"{self.name}: bytes {offset} to {end} of an upload can't be read back")
        buffer[:] = self._beginning[offset:end]

    def finish(self) -> None:
        """Send the parts that aren't complete, with zeros where nothing was written.

        Raises:
            StorageError: sending failed.
        """
        for part in self._grid.rest():
            self._send(part)
        self._finished = True

    def _send(self, part: Part) -> None:
        self._output.uploads.put_part(self._upload, part.index + 1, part.body)

    def close(self) -> None:
        """Let go of it; without `finish` the upload is aborted."""
        self._grid.close()
        if not self._finished:
            self._output.copies.dropped(self.name)
            self._output.uploads.abort_quietly(self._upload)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._finished = self._finished and exception[0] is None
        self.close()
