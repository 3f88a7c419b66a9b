"""The frames that were decompressed last, as far as a reader may want them once more.

A reader of blocks ends its block inside a frame and begins the next one there,
often in another thread and at the same time. So a frame that is being
decompressed is in the cache as well, and who asks for it meanwhile waits.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future

from distexpand.storage.archives.byte_planes import Bytes


class FrameCache:
    """Decompressed frames by key, those that weren't asked for longest go first."""

    def __init__(self, most_bytes: int) -> None:
        """Keep `most_bytes` at most, beside what is being made."""
        self._most_bytes = most_bytes
        self._bytes = 0
        self._frames: OrderedDict[Hashable, Future[Bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Bytes]) -> Bytes:
        """Return the frame of a key, made only if it isn't there; what `make` raises is raised."""
        with self._lock:
            frame = self._frames.get(key)
            mine = frame is None
            if frame is None:
                frame = self._frames[key] = Future()
            self._frames.move_to_end(key)
        if mine:
            self._make(key, frame, make)
        return frame.result()

    def drop(self, owner: Hashable) -> None:
        """Forget the frames whose keys are tuples that begin with `owner`."""
        with self._lock:
            for key in [key for key in self._frames if isinstance(key, tuple) and key[0] == owner]:
                self._forget(key)

    def _make(self, key: Hashable, frame: Future[Bytes], make: Callable[[], Bytes]) -> None:
        try:
            raw = make()
        except BaseException as error:  # noqa: BLE001  # whoever waits for the frame has to hear of it
            with self._lock:
                self._frames.pop(key, None)
            frame.set_exception(error)
            return
        with self._lock:
            frame.set_result(raw)
            self._bytes += len(raw)
            for oldest in list(self._frames):
                if self._bytes <= self._most_bytes:
                    return
                self._forget(oldest)

    def _forget(self, key: Hashable) -> None:
        frame = self._frames[key]
        if frame.done():
            del self._frames[key]
            self._bytes -= len(frame.result())
