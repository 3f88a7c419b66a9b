"""A checkpoint in a bucket, in a container or on a web server."""

from functools import cached_property

from distexpand.pauses import thread_pool
from distexpand.storage.address import WEB, Address
from distexpand.storage.objects.reader import ObjectReader
from distexpand.storage.objects.requests import Requests
from distexpand.storage.objects.web_files import web_files

_AT_ONCE = 8


class ObjectSource:
    """A checkpoint in an object store or on a web server.

    It is listed once at most, so that all who ask see the same files; a file that is opened after
    it has been listed must still have the size that it had then.
    """

    def __init__(self, address: Address) -> None:
        """Set up the client, without a request.

        Raises:
            MissingDependencyError: the client isn't installed.
            StorageError: what the environment says of credentials or endpoint can't be used.
            UsageError: a setting of this program in the environment is wrong.
        """
        self._requests = Requests(address)
        self.location = str(address)

    def files(self) -> dict[str, int]:
        """Return the files of the place and of its visible folders with their sizes, as for a directory.

        Raises:
            CheckpointError: on a web server, where an index has to say what there is: it is damaged.
            StorageError: the place can't be listed.
        """
        return dict(self._listed)

    def open(self, path: str) -> ObjectReader:
        """Open a file of the checkpoint; whether it is there shows when it is used."""
        return ObjectReader(self._requests, path, listed=self.__dict__.get("_listed", {}).get(path))

    @cached_property
    def _listed(self) -> dict[str, int]:
        if self._requests.address.scheme in WEB:
            return web_files(self._requests)
        found, folders = self._requests.folder("")
        visible = [folder for folder in folders if not folder.startswith(".")]
        with thread_pool(_AT_ONCE) as pool:
            for files, _ in pool.map(self._requests.folder, visible):
                found |= files
        return found
