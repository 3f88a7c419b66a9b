"""What goes wrong between a client and a server, and when: plans for the fault proxy."""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum, auto
from random import Random


class Kind(Enum):
    """Ways in which a request fares badly."""

    LATENCY = auto()
    """The server takes its time before it sees the request."""
    RESET = auto()
    """The connection breaks before the server sees the request."""
    RESET_IN_REQUEST = auto()
    """The connection breaks while the request's body is sent."""
    RESET_IN_RESPONSE = auto()
    """The connection breaks in the response's body."""
    TRUNCATED = auto()
    """The response's body ends early, in good order."""
    STATUS = auto()
    """The server refuses with a status, having done nothing."""
    LOST_RESPONSE = auto()
    """The server does the work; then the connection breaks before it can say so."""
    FAILED_RESPONSE = auto()
    """The server does the work and reports that it failed."""
    WRONG_ETAG = auto()
    """The response says that it's of another version."""
    HANG = auto()
    """Nothing comes, and the connection stays."""
    HANG_IN_RESPONSE = auto()
    """The response's body stops coming, and the connection stays."""
    TRICKLE = auto()
    """The response's body comes in small pieces, slowly but all the time."""


OF_READS = frozenset(Kind) - {Kind.RESET_IN_REQUEST, Kind.FAILED_RESPONSE, Kind.LOST_RESPONSE}
OF_WRITES = frozenset(
    {
        Kind.LATENCY,
        Kind.RESET,
        Kind.RESET_IN_REQUEST,
        Kind.STATUS,
        Kind.LOST_RESPONSE,
        Kind.FAILED_RESPONSE,
        Kind.HANG,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong with one request.

    `after` is the part of the body, from 0 to 1, that gets through before; `seconds` how long a
    delay lasts, the whole trickle, or the pause that a refusal with `status` asks for.
    """

    kind: Kind
    after: float = 0.5
    seconds: float = 0.0
    status: int = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a plan sees of a request: the how many-th it is, and its first line and range."""

    number: int
    method: str
    target: str
    range: str


FaultPlan = Callable[[Request], Fault | None]


def no_faults(_: Request) -> None:
    """Let everything through."""


class RandomFaults:
    """A plan that lets chance decide, the same way for the same seed and order of requests."""

    def __init__(
        self,
        seed: int,
        *,
        rate: float,
        kinds: Collection[Kind] = OF_READS,
        hang_seconds: float = 3.0,
        methods: Collection[str] = (),
    ) -> None:
        """Say how bad it is.

        Args:
            seed: of the random numbers.
            rate: part of the requests that fare badly.
            kinds: what may happen to them.
            hang_seconds: more than the client waits.
            methods: which requests, if not all.
        """
        self._random = Random(seed)
        self._rate = rate
        self._kinds = sorted(kinds, key=lambda kind: kind.value)
        self._hang_seconds = hang_seconds
        self._methods = methods
        self._lock = threading.Lock()
        self.done: list[tuple[Request, Fault]] = []

    def __call__(self, request: Request) -> Fault | None:
        """Decide how a request fares."""
        if self._methods and request.method not in self._methods:
            return None
        with self._lock:
            if self._random.random() >= self._rate:
                return None
            fault = self._fault(self._random.choice(self._kinds))
            self.done.append((request, fault))
        return fault

    def _fault(self, kind: Kind) -> Fault:
        hangs = kind in {Kind.HANG, Kind.HANG_IN_RESPONSE}
        return Fault(
            kind=kind,
            after=self._random.random(),
            seconds=self._hang_seconds if hangs else self._random.uniform(0, 0.05),
            status=self._random.choice((429, 500, 503)),
        )


class OnceEach:
    """A plan by which given faults befall the next requests of a method, one each, in order."""

    def __init__(self, *faults: Fault, method: str = "GET") -> None:
        self._left = list(faults)
        self._method = method
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Fault | None:
        """Take the next fault for a request of the method."""
        with self._lock:
            return self._left.pop(0) if self._left and request.method == self._method else None
