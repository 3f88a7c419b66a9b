"""Requests and answers, apart from how they travel."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request whose body was read; `target` is the path with its query as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    host: str

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(self.target.partition("?")[2]).items()}

    @property
    def token(self) -> str:
        """The bearer token; empty if there is none."""
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    def json(self) -> Any:
        return json.loads(self.body)

    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.body.decode(), keep_blank_values=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of a file as a body, so that no large file is ever read whole."""

    path: Path
    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer; `cut` is after how many bytes of the body the connection breaks, `delay` seconds before."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Segment = b""
    cut: int | None = None
    delay: float = 0.0

    @property
    def length(self) -> int:
        return len(self.body) if isinstance(self.body, bytes) else self.body.length


def json_answer(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(
        status=status,
        headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})},
        body=json.dumps(value).encode(),
    )
