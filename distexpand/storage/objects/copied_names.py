"""Final names where uploads can't be picked up by others: the store copies what is staged beside."""

import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress

from distexpand.errors import StorageError
from distexpand.pauses import pause
from distexpand.storage.local.directories import LocalOutput
from distexpand.storage.objects.files import ObjectFiles
from distexpand.storage.objects.final_names import Made, Staged
from distexpand.storage.objects.staged_attempt import RUN, STAGED, TOKEN, StagedOutput, making, staged_path

_LOOKS = 12
_PAUSE_SECONDS = 0.5


class CopiedNames:
    """The files of an output, staged in its work folder and complete."""

    def __init__(self, files: ObjectFiles, scratch: LocalOutput) -> None:
        self._files = files
        self._scratch = scratch

    def hasty(self) -> "CopiedNames":
        """Return the same with one try at each call."""
        return CopiedNames(self._files.hasty(), self._scratch)

    def output(self, run: str, *, shares: bool = False) -> StagedOutput:
        """Return where a run's attempts are begun; what they share is a matter of the scratch folder."""
        del shares
        return StagedOutput(self._files.address, self._scratch, run=run)

    def stage(self, name: str, raw: bytes, *, run: str) -> str:
        """Write a small file beside."""
        token = secrets.token_hex(8)
        attempt = f"{name}.{token}"
        self._files.write(staged_path(attempt), raw, attributes=making(token, run))
        return attempt

    def is_whole(self, name: str, attempt: str, size: int) -> bool:
        """Whether the staged file is there and of that size."""
        del name
        found = self._files.attributes(staged_path(attempt))
        return found is not None and found[0] == size

    def give(self, name: str, attempt: str, size: int) -> bool:
        """Copy the staged file, which is there as a whole or not at all, to its name, and remove it."""
        done = self._files.copy(staged_path(attempt), name)
        if done:
            self._require_copied(name, size)
            with suppress(StorageError):
                self._files.remove([staged_path(attempt)])
        return done

    def _require_copied(self, name: str, size: int) -> None:
        """Wait for a copy to be whole: a store may answer before it is."""
        for look in range(_LOOKS):
            found = self._files.attributes(name)
            if found is not None and found[0] == size:
                return
            pause(look * _PAUSE_SECONDS)
        raise StorageError(
            f"{self._files.address}/{name}: the store hasn't copied it whole from where it was staged",
            hint="Go on with --resume.",
        )

    def made(self, name: str) -> Made | None:
        """Return what is known of a file."""
        found = self._files.attributes(name)
        if found is None:
            return None
        size, attributes = found
        return Made(size=size, token=attributes.get(TOKEN, ""), run=attributes.get(RUN, ""))

    def token(self, name: str, attempt: str) -> str:
        """Return the token of an attempt, which its file carries."""
        return attempt.removeprefix(f"{name}.")

    def staged(self, names: Sequence[str], *, keep: Collection[str] = ()) -> Sequence[Staged]:
        """Return what is staged, of whatever file: nobody else's lies there."""
        del names
        kept = {staged_path(attempt) for attempt in keep}
        return [Staged(path="", id=path) for path in self._files.list(STAGED) if path not in kept]

    def drop_attempt(self, name: str, attempt: str) -> None:
        """Remove what is staged of an attempt."""
        del name
        self._files.remove([staged_path(attempt)])

    def staged_bytes(self, staged: Sequence[Staged]) -> int:
        """Return the bytes of the files."""
        sizes = self._files.list(STAGED)
        return sum(sizes.get(found.id, 0) for found in staged)

    def drop(self, staged: Sequence[Staged]) -> None:
        """Remove what was staged."""
        self._files.remove([found.id for found in staged])
