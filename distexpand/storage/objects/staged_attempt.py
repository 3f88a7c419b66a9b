"""Attempts at output files for stores whose clients show no parts: a local file first, then its copy there.

Google's and Azure's stores take uploads in parts as well, but no well-kept client lets somebody else
find, complete or drop them, so an upload isn't an attempt there. A shard is written to a scratch
folder as a local one is; `finish` sends it off under the attempt's name and removes the local file.
So what a receipt names is in the store, for whoever goes on, and the disk holds the shards under way
alone. Rejected: sending it when it is committed, which would tie a resume to the machine and would
have the committer wait for a shard at a time.
"""

import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Self

from distexpand.errors import StorageError
from distexpand.storage.address import Address
from distexpand.storage.local.attempt import LocalAttempt
from distexpand.storage.local.directories import WORK_DIRECTORY, LocalOutput
from distexpand.storage.objects.client import object_client, require_obstore
from distexpand.storage.objects.part_grid import part_size
from distexpand.storage.objects.troubles import error_of, trouble_of

STAGED = f"{WORK_DIRECTORY}/attempts"
"""Where the copies lie, in the output's folder."""

TOKEN, RUN = "distexpand_attempt", "distexpand_run"
"""Attributes that an attempt's file has, and keeps when it is copied; some stores allow no hyphens."""

_RETRIES = 8
_RETRY_FOR = timedelta(minutes=5)
_PART_BYTES = 16 << 20
_PARTS_AT_ONCE = 4


def staged_path(attempt: str) -> str:
    """Return the path of an attempt's copy in the output's folder."""
    return f"{STAGED}/{attempt}"


def making(token: str, run: str) -> Mapping[str, str]:
    """Return the attributes of an attempt's file."""
    return {TOKEN: token, RUN: run}


class StagedOutput:
    """Begins attempts in a scratch folder, which are sent to a store when they are finished."""

    def __init__(self, address: Address, scratch: LocalOutput, *, run: str = "") -> None:
        """Say where they go.

        Args:
            address: the output's folder in the store.
            scratch: begins the local files; how they are written is its matter.
            run: the name of the run, kept with each file.
        """
        self._scratch = scratch
        self._run = run
        self._address = address
        self._client = object_client(address, retries=_RETRIES)
        self.location = str(address)

    def begin(self, final_name: str, size: int) -> "StagedAttempt":
        """Begin a local file of `size` bytes."""
        token = secrets.token_hex(8)
        local = self._scratch.begin(f"{final_name}.{token}", size)
        return StagedAttempt(self, local, f"{final_name}.{token}", size, making(token, self._run))

    def send(self, local_name: str, attempt: str, size: int, attributes: Mapping[str, str]) -> None:
        """Send a file of the scratch folder to the store under an attempt's name.

        Raises:
            StorageError: it can't be sent.
        """
        obstore = require_obstore()
        try:
            obstore.put(
                self._client,
                staged_path(attempt),
                Path(self._scratch.location) / local_name,
                attributes=dict(attributes),
                chunk_size=part_size(size, least=_PART_BYTES),
                max_concurrency=_PARTS_AT_ONCE,
            )
        except Exception as error:  # noqa: BLE001  # whatever the client raises
            raise error_of("upload", f"{self._address}/{attempt}", trouble_of(error, self._address)) from None

    def drop(self, attempt: str) -> None:
        """Remove an attempt's copy while another error is on its way; what is left is collected later."""
        with suppress(Exception):
            require_obstore().delete(self._client, staged_path(attempt))


class StagedAttempt:
    """A local file that goes off when it is finished."""

    def __init__(
        self,
        output: StagedOutput,
        local: LocalAttempt,
        name: str,
        size: int,
        attributes: Mapping[str, str],
    ) -> None:
        self._output = output
        self._local: LocalAttempt | None = local
        self._size = size
        self._attributes = attributes
        self._sent = False
        self.name = name

    def _open_file(self) -> LocalAttempt:
        if self._local is None:
            raise StorageError(f"{self.name}: was sent off and can't be read or written any more")
        return self._local

    def reserve(self, offset: int, length: int) -> None:
        """Take disk space in the scratch folder."""
        self._open_file().reserve(offset, length)

    def share(self, source: object, source_offset: int, offset: int, length: int) -> tuple[int, int]:
        """Have blocks in common with a local source, as far as the scratch folder's file system can."""
        if isinstance(source, StagedAttempt):
            source = source._local  # noqa: SLF001  # one of our own
        return self._open_file().share(source, source_offset, offset, length)

    def write(self, offset: int, buffer: memoryview) -> None:
        """Write to the local file."""
        self._open_file().write(offset, buffer)

    def leave_zero(self, offset: int, length: int) -> None:
        """Do nothing: the local file reads as zero there already."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with what was written."""
        self._open_file().read_into(offset, buffer)

    def finish(self) -> None:
        """Send the file to the store and remove it here.

        Raises:
            StorageError: it can't be sent; the local file is still there.
        """
        local = self._open_file()
        local.finish()
        self._sent = True  # perhaps, even if it fails
        self._output.send(local.name, self.name, self._size, self._attributes)
        self._release()

    def _release(self) -> None:
        local, self._local = self._local, None
        if local is not None:
            local.__exit__(StorageError)

    def close(self) -> None:
        """Let go of the local file; without `finish` nothing is left of the attempt."""
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
        if exception[0] is not None and self._sent:
            self._output.drop(self.name)
