"""Large files by their SHA-256, on disk, and the signed links under which another host serves them."""

import hashlib
import hmac
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

DAY = 86_400.0


class LargeFiles:
    """Every large file of every repository, and uploads in parts that aren't complete yet."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._parts: dict[str, dict[int, Path]] = {}
        self._lock = threading.Lock()

    def path(self, sha256: str) -> Path:
        return self._folder / sha256

    def __contains__(self, sha256: str) -> bool:
        return self.path(sha256).exists()

    def add(self, raw: bytes) -> str:
        sha256 = hashlib.sha256(raw).hexdigest()
        self.path(sha256).write_bytes(raw)
        return sha256

    def add_file(self, path: Path, sha256: str) -> None:
        """Keep a file under a digest that is believed: a sparse file of 100 GB isn't read for it."""
        self.path(sha256).unlink(missing_ok=True)
        self.path(sha256).hardlink_to(path)

    def add_part(self, upload: str, number: int, raw: bytes) -> str:
        """Keep a part and return its tag."""
        part = self._folder / f"{upload}.{number}"
        part.write_bytes(raw)
        with self._lock:
            self._parts.setdefault(upload, {})[number] = part
        return hashlib.md5(raw, usedforsecurity=False).hexdigest()

    def complete(self, upload: str, sha256: str, tags: Iterable[tuple[int, str]]) -> bool:
        """Put the parts together; return whether they are those that were sent, and have the digest."""
        with self._lock:
            parts = self._parts.pop(upload, {})
        whole = self._folder / f"{upload}.whole"
        digest = hashlib.sha256()
        with whole.open("wb") as file:
            for number, tag in tags:
                if number not in parts:
                    return False
                raw = parts[number].read_bytes()
                if hashlib.md5(raw, usedforsecurity=False).hexdigest() != tag.strip('"'):
                    return False
                digest.update(raw)
                file.write(raw)
        for part in parts.values():
            part.unlink()
        if digest.hexdigest() != sha256:
            return False
        shutil.move(whole, self.path(sha256))
        return True


class Links:
    """Signs paths on the host of large files.

    A link holds for `seconds` and for `uses` requests, or until all are revoked.
    """

    def __init__(self) -> None:
        self.seconds = DAY
        self.uses: int | None = None
        self._used: Counter[str] = Counter()
        self._key = secrets.token_bytes(16)

    def sign(self, path: str, **more: str) -> str:
        """Return the path with its query."""
        query = {**more, "Expires": f"{time.time() + self.seconds:.3f}"}
        text = "&".join(f"{name}={value}" for name, value in sorted(query.items()))
        return f"{path}?{text}&Signature={self._signature(f'{path}?{text}')}"

    def holds(self, target: str) -> bool:
        """Whether a path with its query is one that was signed, and still holds."""
        signed, _, signature = target.partition("&Signature=")
        expires = signed.partition("Expires=")[2].partition("&")[0]
        if not hmac.compare_digest(self._signature(signed), signature):
            return False
        self._used[signature] += 1
        if self.uses is not None and self._used[signature] > self.uses:
            return False
        return float(expires) > time.time()

    def revoke(self) -> None:
        """Make every link worthless that was given so far."""
        self._key = secrets.token_bytes(16)

    def _signature(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
