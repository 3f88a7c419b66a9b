"""Final names on S3: multipart uploads that are completed where nothing of that name is."""

from collections.abc import Collection, Sequence
from typing import Any

from distexpand.errors import StorageError
from distexpand.formats.index import is_shard_name
from distexpand.storage.address import Address
from distexpand.storage.objects.final_names import Made, Staged
from distexpand.storage.s3.attempt import S3Output
from distexpand.storage.s3.client import s3_client
from distexpand.storage.s3.uploads import S3Uploads, Upload, upload_of


class S3Names:
    """The files below an address, staged as uploads and complete."""

    def __init__(self, address: Address, client: Any = None) -> None:
        self._uploads = S3Uploads(address, client)
        self._output: S3Output | None = None

    def hasty(self) -> "S3Names":
        """Return the same by a client that gives up soon."""
        return S3Names(self._uploads.address, s3_client(hasty=True))

    def output(self, run: str, *, shares: bool = False) -> S3Output:
        """Return where a run's attempts are begun."""
        client = self._uploads.client
        self._output = S3Output(self._uploads.address, run=run, shares=shares, client=client)
        return self._output

    def stage(self, name: str, raw: bytes, *, run: str) -> str:
        """Upload a small file as one part."""
        upload = self._uploads.begin(name, run=run)
        try:
            self._uploads.put_part(upload, 1, memoryview(raw))
        except BaseException:
            self._uploads.abort_quietly(upload)
            raise
        return upload.name

    def is_whole(self, name: str, attempt: str, size: int) -> bool:
        """Whether an upload is there and its parts have all bytes together."""
        parts = self._uploads.parts(upload_of(name, attempt))
        return parts is not None and sum(length for length, _ in parts.values()) == size

    def give(self, name: str, attempt: str, size: int) -> bool:
        """Complete an upload of the parts that it has now, if those are all bytes."""
        upload = upload_of(name, attempt)
        parts = self._uploads.parts(upload)
        if parts is None or sum(length for length, _ in parts.values()) != size:
            gone = "is gone" if parts is None else "isn't whole"
            raise StorageError(f"{self._uploads.address}/{name}: its upload {gone}")
        stored = self._uploads.complete(upload, parts)
        if stored is not None and stored.tag and self._output is not None:
            self._output.copies.made(attempt, stored)
        return stored is not None

    def made(self, name: str) -> Made | None:
        """Return what is known of an object."""
        return self._uploads.made(name)

    def token(self, name: str, attempt: str) -> str:
        """Return the token of an upload, which its object carries."""
        return upload_of(name, attempt).token

    def staged(self, names: Sequence[str], *, keep: Collection[str] = ()) -> Sequence[Staged]:
        """Return the uploads of these files, and of whatever has a shard's name; others may be anybody's."""
        own = set(names)
        return [
            Staged(path=upload.path, id=upload.id)
            for upload in self._uploads.in_progress()
            if (upload.path in own or is_shard_name(upload.path))
            and not any(upload.is_of(attempt) for attempt in keep)
        ]

    def drop_attempt(self, name: str, attempt: str) -> None:
        """Abort an attempt's upload."""
        self._uploads.abort(upload_of(name, attempt))

    def staged_bytes(self, staged: Sequence[Staged]) -> int:
        """Return the bytes of all parts."""
        uploads = [Upload(path=found.path, id=found.id) for found in staged]
        return sum(size for upload in uploads for size, _ in (self._uploads.parts(upload) or {}).values())

    def drop(self, staged: Sequence[Staged]) -> None:
        """Abort uploads."""
        for found in staged:
            self._uploads.abort(Upload(path=found.path, id=found.id))
