"""How a frame is compressed: parameters that suit weights, and for each frame what pays.

Weights hardly repeat; what can be saved is that exponents are few. So planes
are compressed by their byte frequencies alone: a search for matches with a
table of 64 entries finds nothing but runs, which is faster than zstd's lowest
level and saves more, as chance matches cost more than they spare. Frames that
aren't taken apart get the shortest matches that the fast search knows: noise
to models trained in bf16, but what was once quantised repeats in four bytes.
Measured in docs/archives.md.

Everything here depends on the frame's bytes alone, so that the same bytes give
the same frame, in any thread and at any place.
"""

import threading

import zstandard

from distexpand.archive.layout import Widths
from distexpand.formats.archive_index import Form
from distexpand.storage.archives.byte_planes import Bytes, split_planes

_FAST = zstandard.STRATEGY_FAST
_CHECKED = {"write_checksum": True, "write_content_size": True}
_LEVEL = zstandard.ZstdCompressionParameters.from_level

_SAMPLE_BYTES = 32 * 1024
_SAMPLES = 3
_LEAST_SAVING = 1 / 64
"""Of a plane; what saves less is stored, as zstd itself would find after the work."""


class Coder:
    """Compresses frames, in several threads at once."""

    def __init__(self, form: Form, level: int | None = None) -> None:
        """Choose the form, and a level of zstd instead of the parameters that suit weights."""
        self._takes_apart = form is Form.DENSE
        self._level = level
        self._local = threading.local()

    def encode(self, raw: Bytes, widths: Widths) -> tuple[bytes, ...]:
        """Return a frame's parts: one zstd frame of its bytes, or one for each byte plane."""
        compressors = self._compressors()
        whole = compressors.weights if widths.known else compressors.other
        width = self._best_width(raw, widths, compressors, whole) if self._takes_apart else 1
        if width == 1:
            return (whole.compress(raw),)
        return tuple(compressors.plane(plane) for plane in split_planes(raw, width))

    def _compressors(self) -> "_Compressors":
        if not hasattr(self._local, "compressors"):
            self._local.compressors = _Compressors(self._level)
        found: _Compressors = self._local.compressors
        return found

    def _best_width(
        self, raw: Bytes, widths: Widths, compressors: "_Compressors", whole: zstandard.ZstdCompressor
    ) -> int:
        """Return how many planes a sample is smallest in; 1 for none."""
        tried = [width for width in widths.tried if len(raw) % width == 0]
        if not tried:
            return 1
        sample = _sample(raw)
        sizes = {1: len(whole.compress(sample))}
        for width in tried:
            sizes[width] = sum(len(compressors.plane(plane)) for plane in split_planes(sample, width))
        return min(sizes, key=lambda width: (sizes[width], width))


class _Compressors:
    """One thread's: none can be used by several at once."""

    def __init__(self, level: int | None) -> None:
        chosen = None if level is None else _LEVEL(level, **_CHECKED)
        weights = _LEVEL(1, strategy=_FAST, hash_log=12, min_match=4, target_length=0, **_CHECKED)
        other = _LEVEL(3, **_CHECKED)
        plane = _LEVEL(1, strategy=_FAST, hash_log=6, min_match=7, target_length=0, window_log=17, **_CHECKED)
        self.weights = zstandard.ZstdCompressor(compression_params=chosen or weights)
        self.other = zstandard.ZstdCompressor(compression_params=chosen or other)
        self._plane = zstandard.ZstdCompressor(compression_params=plane)
        # Its lowest level looks at next to nothing and stores the rest, in frames like any other.
        self._noise = zstandard.ZstdCompressor(compression_params=_LEVEL(-(1 << 17), **_CHECKED))

    def plane(self, plane: Bytes) -> bytes:
        """Return a plane's frame; what seems to be noise is only stored."""
        sample = _sample(plane)
        saved = len(sample) - len(self._plane.compress(sample))
        return (self._plane if saved >= _LEAST_SAVING * len(sample) else self._noise).compress(plane)


def _sample(raw: Bytes) -> Bytes:
    """Return a few parts of a frame, of whole elements whatever their width; all of it if it is short."""
    if len(raw) <= _SAMPLES * _SAMPLE_BYTES:
        return raw
    step = (len(raw) - _SAMPLE_BYTES) // (_SAMPLES - 1) // _SAMPLE_BYTES * _SAMPLE_BYTES
    parts = [raw[start : start + _SAMPLE_BYTES] for start in range(0, step * _SAMPLES, step)]
    return b"".join(parts)
