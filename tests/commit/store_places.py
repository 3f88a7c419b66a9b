"""Folders of real object stores, looked at without the package."""

from dataclasses import dataclass
from typing import Any

from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.commit.work_directory import NOTICE_NAME
from distexpand.storage.address import Address
from distexpand.storage.local.directories import WORK_DIRECTORY


@dataclass(frozen=True)
class Place:
    """A folder that an output goes to, and its server; nothing else may be in the bucket."""

    address: Address
    server: Any

    def tree(self) -> dict[str, bytes]:
        """Return every object by its path in the folder."""
        prefix = f"{self.address.path}/"
        contents = self.server.contents(self.address.root)
        assert all(key.startswith(prefix) for key in contents)
        return {key.removeprefix(prefix): raw for key, raw in contents.items()}

    def put(self, name: str, raw: bytes) -> None:
        """Write an object past the package."""
        self.server.put(self.address.root, {f"{self.address.path}/{name}": raw})

    def uploads(self) -> list[str]:
        """Return the ids of uploads in progress."""
        if self.address.scheme != "s3":
            return []
        found = self.server.client.list_multipart_uploads(Bucket=self.address.root)
        return [upload["UploadId"] for upload in found.get("Uploads", [])]

    def assert_no_partial_file(self, expected: dict[str, bytes]) -> None:
        """Whatever has a final name is whole, and so is an output with a manifest."""
        found = self.tree()
        for name, raw in found.items():
            if not name.startswith(WORK_DIRECTORY) and name != NOTICE_NAME:
                assert raw == expected[name], name
        if MANIFEST_NAME in found:
            assert expected.keys() <= found.keys()
            assert NOTICE_NAME not in found

    def assert_is(self, expected: dict[str, bytes]) -> None:
        """The folder holds these files and nothing else, nor is anything on its way."""
        found = self.tree()
        assert found.keys() == expected.keys()
        assert found == expected
        assert self.uploads() == []
