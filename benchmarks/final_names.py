"""Looking at an output from the side while it is being written.

Whoever sees a final name has to see a whole file: right size, a header that
parses, the bytes of an uninterrupted run, and never a change afterwards. An
index may only be there when all its shards are, a manifest only when
everything is.
"""

import filecmp
import json
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

INDEX = "model.safetensors.index.json"
MANIFEST = "distexpand.json"


class FinalNames:
    """Watches an output directory in a thread of its own, from `with` to its end.

    `problems` collects what should never be seen; `looks` counts how often was looked.
    """

    def __init__(self, output: Path, reference: Path, *, pause_seconds: float = 0.002) -> None:
        self.problems: list[str] = []
        self.looks = 0
        self._output = output
        self._reference = reference
        self._pause_seconds = pause_seconds
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.look()

    def whole_shards(self) -> int:
        """Return how many shards have their final names."""
        return sum(name.endswith(".safetensors") for name in self._seen)

    def look(self) -> None:
        """Look once at every final name; those that a manifest promises are looked at first."""
        self.looks += 1
        promised = self._promised()
        names = {path.name for path in self._output.glob("*.safetensors")}
        self.problems += [
            f"{name}: promised by index or manifest, but not there" for name in promised - names
        ]
        for name in sorted(names):
            self._look_at(name)
        self.problems += [f"{name}: had its final name and vanished" for name in self._seen.keys() - names]

    def _watch(self) -> None:
        while not self._stop.wait(self._pause_seconds):
            self.look()

    def _promised(self) -> set[str]:
        """Return the shards that have to be there, by what is there already."""
        index, manifest = self._output / INDEX, self._output / MANIFEST
        if manifest.exists():
            names = {path.name for path in self._reference.glob("*.safetensors")}
            for name in (INDEX, "config.json"):
                if (self._reference / name).exists() and not (self._output / name).exists():
                    self.problems.append(f"{name}: missing though the manifest is there")
            return names
        return set(json.loads(index.read_text())["weight_map"].values()) if index.exists() else set()

    def _look_at(self, name: str) -> None:
        status = (self._output / name).stat()
        state = (status.st_ino, status.st_size, status.st_mtime_ns)
        if name not in self._seen:
            self._seen[name] = state
            self._check_new(name, status.st_size)
        elif self._seen[name] != state:
            self.problems.append(f"{name}: changed after it had its final name")
            self._seen[name] = state

    def _check_new(self, name: str, size: int) -> None:
        if not _parses(self._output / name, size):
            self.problems.append(f"{name}: partial under its final name ({size} bytes)")
        elif not filecmp.cmp(self._output / name, self._reference / name, shallow=False):
            self.problems.append(f"{name}: whole, but not the bytes of the uninterrupted run")


def _parses(path: Path, size: int) -> bool:
    """Whether a file's header parses and its tensors end where the file ends."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length)
    if len(text) < length:
        return False
    try:
        header = json.loads(text)
    except ValueError:
        return False
    ends: list[int] = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return 8 + length + max(ends) == size
