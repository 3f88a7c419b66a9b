"""Multipart uploads to one folder of an S3 bucket: begun, fed, listed, completed, aborted.

An upload is an attempt that the store keeps: nothing is visible until it is completed, and once it
is aborted nobody can complete it any more. Its object carries a token that says which upload made
it, so that a completion whose answer was lost is recognised.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distexpand.errors import StorageError
from distexpand.storage.address import Address
from distexpand.storage.objects.final_names import Made
from distexpand.storage.objects.part_body import PartBody
from distexpand.storage.objects.requests import StoredObject
from distexpand.storage.s3.client import error_code, s3_client, s3_error, s3_errors

_TOKEN, _RUN = "distexpand-attempt", "distexpand-run"
_GONE = frozenset({"NoSuchUpload", "404", "NotFound"})
_TAKEN = frozenset({"PreconditionFailed", "412"})
_NO_CONDITIONS = frozenset({"NotImplemented", "501"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An upload in progress: the file's path below the folder, the store's word for it, our token.

    The token is empty in a listing.
    """

    path: str
    id: str
    token: str = ""

    @property
    def name(self) -> str:
        """The attempt's name, from which any process finds the upload again."""
        return f"{self.path}.{self.token}.{self.id}"

    def is_of(self, attempt: str) -> bool:
        """Whether an attempt's name is of this upload."""
        return attempt.startswith(f"{self.path}.") and attempt.endswith(f".{self.id}")


def upload_of(path: str, name: str) -> Upload:
    """Return the upload of an attempt's name.

    Raises:
        StorageError: it isn't one.
    """
    token, _, upload_id = name.removeprefix(f"{path}.").partition(".")
    if not name.startswith(f"{path}.") or not token or not upload_id:
        raise StorageError(f"{name}: names no upload of {path}")
    return Upload(path=path, id=upload_id, token=token)


class S3Uploads:
    """The uploads below an address, and the objects that they make."""

    def __init__(self, address: Address, client: Any = None) -> None:
        self.address = address
        self.client = client or s3_client()
        self._errors = s3_errors()
        self._gave_up = False

    def key(self, path: str) -> str:
        """Return the key of a file below the address."""
        return f"{self.address.path}/{path}" if self.address.path else path

    def begin(self, path: str, *, run: str) -> Upload:
        """Begin an upload.

        Raises:
            StorageError: the store refuses it.
        """
        token = secrets.token_hex(8)
        answer = self._call(
            "begin an upload", path, "create_multipart_upload", Metadata={_TOKEN: token, _RUN: run}
        )
        return Upload(path=path, id=answer["UploadId"], token=token)

    def put_part(self, upload: Upload, number: int, body: memoryview) -> None:
        """Send a part, whose memory must stay as it is meanwhile; numbers count from 1.

        Raises:
            StorageError: it couldn't be sent.
        """
        self._call(
            "upload", upload.path, "upload_part", UploadId=upload.id, PartNumber=number, Body=PartBody(body)
        )

    def copy_part(self, upload: Upload, number: int, source: StoredObject, offset: int, length: int) -> None:
        """Have the store copy a part from another object.

        Args:
            upload: gets the part.
            number: counts from 1.
            source: the object.
            offset: in bytes, where the part begins in it.
            length: in bytes.

        Raises:
            StorageError: it can't, or the object has changed.
        """
        self._call(
            "copy a part to it",
            upload.path,
            "upload_part_copy",
            UploadId=upload.id,
            PartNumber=number,
            CopySource={"Bucket": source.root, "Key": source.key},
            CopySourceIfMatch=source.tag,
            CopySourceRange=f"bytes={offset}-{offset + length - 1}",
        )

    def parts(self, upload: Upload) -> dict[int, tuple[int, str]] | None:
        """Return size and ETag of each part by its number, or nothing if there is no such upload.

        A part that was sent again, as its answer was lost, is listed twice by some stores.

        Raises:
            StorageError: the store doesn't tell.
        """
        found: dict[int, tuple[int, str]] = {}
        place = {"Bucket": self.address.root, "Key": self.key(upload.path), "UploadId": upload.id}
        try:
            for page in self.client.get_paginator("list_parts").paginate(**place):
                for part in page.get("Parts", ()):
                    found.setdefault(part["PartNumber"], (part["Size"], part["ETag"]))
        except self._errors as error:
            if error_code(error) in _GONE:
                return None
            raise self._error("list its parts", upload.path, error) from None
        return found

    def complete(self, upload: Upload, parts: dict[int, tuple[int, str]]) -> StoredObject | None:
        """Make the object of an upload and return it; nothing if there is one of that name already.

        Raises:
            StorageError: the store doesn't say that it is done, which it may be all the same.
        """
        listed = [{"PartNumber": number, "ETag": parts[number][1]} for number in sorted(parts)]
        try:
            return self._completed(upload, listed, IfNoneMatch="*")
        except self._errors as error:
            if error_code(error) in _TAKEN:
                return None
            if error_code(error) in _NO_CONDITIONS:
                return self._completed_unconditionally(upload, listed)
            raise self._error("complete the upload", upload.path, error) from None

    def _completed_unconditionally(
        self, upload: Upload, listed: Sequence[Mapping[str, Any]]
    ) -> StoredObject | None:
        """Look first, where a store can't be told to refuse."""
        if self.made(upload.path) is not None:
            return None
        try:
            return self._completed(upload, listed)
        except self._errors as error:
            raise self._error("complete the upload", upload.path, error) from None

    def _completed(
        self, upload: Upload, listed: Sequence[Mapping[str, Any]], **condition: str
    ) -> StoredObject:
        place = {"Bucket": self.address.root, "Key": self.key(upload.path), "UploadId": upload.id}
        answer = self.client.complete_multipart_upload(
            **place, MultipartUpload={"Parts": listed}, **condition
        )
        return StoredObject(
            scheme=self.address.scheme,
            root=self.address.root,
            key=self.key(upload.path),
            tag=answer.get("ETag", ""),
        )

    def abort(self, upload: Upload) -> None:
        """Give an upload up; one that is gone already is no error.

        Raises:
            StorageError: the store doesn't say that it is gone.
        """
        self._abort(self.client, upload)

    def abort_quietly(self, upload: Upload) -> None:
        """Give an upload up while another error is on its way; what is left is collected later.

        Where the store doesn't answer, the user isn't kept waiting for each upload.
        """
        if self._gave_up:
            return
        try:
            self._abort(s3_client(hasty=True), upload)
        except StorageError:
            self._gave_up = True

    def _abort(self, client: Any, upload: Upload) -> None:
        place = {"Bucket": self.address.root, "Key": self.key(upload.path), "UploadId": upload.id}
        try:
            client.abort_multipart_upload(**place)
        except self._errors as error:
            if error_code(error) not in _GONE:
                raise self._error("abort the upload", upload.path, error) from None

    def in_progress(self) -> Iterator[Upload]:
        """Yield the uploads below the address, whoever's they are, that are neither completed nor aborted.

        Raises:
            StorageError: the store doesn't tell.
        """
        prefix = self.key("")
        pages = self.client.get_paginator("list_multipart_uploads")
        try:
            for page in pages.paginate(Bucket=self.address.root, Prefix=prefix):
                for found in page.get("Uploads", ()):
                    yield Upload(path=found["Key"].removeprefix(prefix), id=found["UploadId"])
        except self._errors as error:
            raise self._error("list uploads", "", error) from None

    def made(self, path: str) -> Made | None:
        """Return size and making of an object, or nothing if there is none.

        Raises:
            StorageError: the store doesn't tell.
        """
        try:
            answer = self.client.head_object(Bucket=self.address.root, Key=self.key(path))
        except self._errors as error:
            if error_code(error) in {"404", "NoSuchKey", "NotFound"}:
                return None
            raise self._error("read", path, error) from None
        metadata = answer.get("Metadata", {})
        return Made(size=answer["ContentLength"], token=metadata.get(_TOKEN, ""), run=metadata.get(_RUN, ""))

    def _call(self, doing: str, path: str, method: str, **arguments: Any) -> Any:
        try:
            return getattr(self.client, method)(Bucket=self.address.root, Key=self.key(path), **arguments)
        except self._errors as error:
            raise self._error(doing, path, error) from None

    def _error(self, doing: str, path: str, error: Exception) -> StorageError:
        return s3_error(f"{self.address}/{path}" if path else str(self.address), doing, error)
