"""Failing on demand: which requests of a route get another answer than they would."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.support.hub_server.messages import Answer, Request, json_answer

Spoil = Callable[[Answer], Answer]


@dataclass(slots=True, kw_only=True)
class Fault:
    """Gives requests of a route, after the first `skip` and for so many `times`, another answer.

    With `spoil` the request is carried out and its answer spoilt, else it gets `answer` and
    nothing happens. `when` says which requests count.
    """

    route: str
    skip: int = 0
    times: int | None = None
    answer: Answer = field(default_factory=lambda: json_answer({"error": "Internal Error"}, status=500))
    spoil: Spoil | None = None
    when: Callable[[Request], bool] = lambda _: True
    seen: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def strikes(self, route: str, request: Request) -> bool:
        if route != self.route or not self.when(request):
            return False
        with self.lock:
            self.seen += 1
            return self.seen > self.skip and (self.times is None or self.seen <= self.skip + self.times)


def rate_limited(seconds: int = 0, *, header: str = "RateLimit") -> Answer:
    """Too many requests, with when to come again in one of the two ways in which it is said, or in none."""
    headers = {
        "RateLimit": {
            "RateLimit": f'"api";r=0;t={seconds}',
            "RateLimit-Policy": '"fixed window";"api";q=500;w=300',
        },
        "Retry-After": {"Retry-After": str(seconds)},
        "": {"RateLimit": f'"api";r=400;t={seconds}'},
    }[header]
    return json_answer({"error": "Too many requests"}, status=429, headers=headers)


def lost_answer(answer: Answer) -> Answer:
    """Break the connection before a byte of the answer is sent."""
    return replace(answer, cut=-1)


def stalled(seconds: float) -> Spoil:
    """Answer after a while only."""
    return lambda answer: replace(answer, delay=seconds)
