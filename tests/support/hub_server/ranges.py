"""Answers to requests for a file or a range of it."""

import re
from collections.abc import Mapping
from pathlib import Path

from tests.support.hub_server.messages import Answer, Request, Segment

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def file_answer(request: Request, content: bytes | Path, headers: Mapping[str, str]) -> Answer:
    """Return the file, the range that was asked for, or that there is no such range."""
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
    if request.headers.get("if-match", headers.get("ETag")) != headers.get("ETag"):
        return Answer(status=412, headers=headers)
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked is None:
        return Answer(headers=headers, body=_part(content, 0, size))
    start, stop = _bounds(asked[1], asked[2], size)
    if start >= size:
        return Answer(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return Answer(status=206, headers=headers, body=_part(content, start, stop - start))


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(int(last) + 1, size) if last else size


def _part(content: bytes | Path, start: int, length: int) -> bytes | Segment:
    if isinstance(content, bytes):
        return content[start : start + length]
    return Segment(path=content, offset=start, length=length)
