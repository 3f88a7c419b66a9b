"""What went wrong with a request to a store: told from the client's exceptions, in our own words.

The client tells most of it in text alone, in which also stand URLs with signatures, bodies and
headers. So the text is searched for what is known to be harmless (a status, a kind, a store's code)
and never repeated. Where the client changes its text, troubles become less precise, not wrong.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

from distexpand.errors import StorageError
from distexpand.storage.address import WEB, Address
from distexpand.storage.objects.client import HOW_TO_SIGN_IN

_STATUS = re.compile(r"(?:Status|Response) \{\s*status: (\d{3})")
_HTTP_KIND = re.compile(r"HttpError \{\s*kind: (\w+)")
_CODES = (
    "AccessDenied",
    "AccountIsDisabled",
    "AllAccessDisabled",
    "AuthenticationFailed",
    "AuthorizationFailure",
    "AuthorizationHeaderMalformed",
    "AuthorizationPermissionMismatch",
    "ContainerNotFound",
    "ExpiredToken",
    "IllegalLocationConstraintException",
    "InternalError",
    "InvalidAccessKeyId",
    "InvalidAuthenticationInfo",
    "InvalidRequest",
    "InvalidToken",
    "NoAuthenticationInformation",
    "NoSuchBucket",
    "OperationTimedOut",
    "PermanentRedirect",
    "PublicAccessNotPermitted",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "ServerBusy",
    "SignatureDoesNotMatch",
    "SlowDown",
    "TokenRefreshRequired",
)
"""What stores call their refusals, of those that help; anything else could stand there as well."""

_CODE = re.compile(f"<Code>({'|'.join(_CODES)})</Code>")
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound"}
_OTHER_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_TELLS_NO_RANGE = ("RangeNotSupported", "NotPartial")
_TELLS_TOO_LITTLE = ("MissingContentLength", "ContentRange", "UnexpectedRange", "Header {")


class Kind(Enum):
    """What a trouble means for the one who asked."""

    MISSING = auto()
    DENIED = auto()
    CHANGED = auto()
    OUTSIDE = auto()
    """The range begins behind the end."""
    BUSY = auto()
    """The server wants to be asked later."""
    SILENT = auto()
    """Nothing came for as long as we wait."""
    UNREACHABLE = auto()
    """No connection."""
    BROKEN = auto()
    """The connection broke, or the server failed; the next request may succeed."""
    HOPELESS = auto()
    """The next request would fare the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a request failed; `hint` as in errors."""

    kind: Kind
    reason: str
    hint: str = ""


ENDED_EARLY = Trouble(kind=Kind.BROKEN, reason="the server sent less than it announced")


def trouble_of(error: Exception, address: Address) -> Trouble:
    """Return what an exception of the client means."""
    text = str(error)
    name = type(error).__name__
    found = _STATUS.search(text)
    if found or name in _STATUS_OF:
        status = int(found[1]) if found else _STATUS_OF[name]
        code = _CODE.search(text)
        return _answered(status, code[1] if code else "", address)
    kind = _HTTP_KIND.search(text)
    if kind:
        return _unanswered(kind[1], text, address)
    if any(word in text for word in _TELLS_NO_RANGE):
        return Trouble(
            kind=Kind.HOPELESS,
            reason="the server sends whole files only, not the ranges that are asked for",
            hint="Download the checkpoint, or serve it by a server that supports range requests.",
        )
    if any(word in text for word in _TELLS_TOO_LITTLE):
        return Trouble(
            kind=Kind.HOPELESS, reason="the server's answer doesn't say which bytes of how many it gives"
        )
    if "BareRedirect" in text:
        return _elsewhere(address)
    return Trouble(
        kind=Kind.HOPELESS, reason=f"the client failed ({name})", hint=HOW_TO_SIGN_IN[address.scheme]
    )


_STATUS_OF = {
    "FileNotFoundError": 404,
    "NotFoundError": 404,
    "PermissionDeniedError": 403,
    "UnauthenticatedError": 401,
    "PreconditionError": 412,
}


def _answered(status: int, code: str, address: Address) -> Trouble:
    if code in _OTHER_REGION or status in _MOVED:
        return _elsewhere(address)
    if code in _NO_BUCKET:
        what = "container" if address.scheme == "az" else "bucket"
        return Trouble(kind=Kind.MISSING, reason=f"there is no {what} {address.root!r}")
    said = f" ({code})" if code else ""
    kind = _KIND_OF_CODE.get(code) or _KIND_OF_STATUS.get(status, Kind.HOPELESS)
    if kind is Kind.DENIED:
        return Trouble(kind=kind, reason=f"access is denied{said}", hint=HOW_TO_SIGN_IN[address.scheme])
    hint = "Try again later, or with fewer threads." if kind is Kind.BUSY else ""
    return Trouble(kind=kind, reason=_REASONS.get(kind, f"the server answers {status}{said}"), hint=hint)


_MOVED = {301, 307, 308}
_KIND_OF_CODE = {
    "ExpiredToken": Kind.DENIED,
    "InvalidToken": Kind.DENIED,
    "TokenRefreshRequired": Kind.DENIED,
    "RequestTimeout": Kind.BROKEN,
    "SlowDown": Kind.BUSY,
}
_KIND_OF_STATUS = {
    401: Kind.DENIED,
    403: Kind.DENIED,
    404: Kind.MISSING,
    408: Kind.BROKEN,
    410: Kind.MISSING,
    412: Kind.CHANGED,
    416: Kind.OUTSIDE,
    429: Kind.BUSY,
    500: Kind.BROKEN,
    502: Kind.BROKEN,
    503: Kind.BUSY,
    504: Kind.BROKEN,
}
_REASONS = {
    Kind.MISSING: "there is no such file",
    Kind.CHANGED: "it changed",
    Kind.OUTSIDE: "it is shorter than that",
}


def _unanswered(kind: str, text: str, address: Address) -> Trouble:
    told = next((meant for word, meant in _TOLD if word in text), None)
    meant = told or _BY_HTTP_KIND.get(kind) or (Kind.BROKEN, "the connection broke")
    what = "address" if address.scheme in WEB else "endpoint"
    hint = f"Check the {what}, the network and the proxy."
    if "ertificate" in text:
        hint = "If you trust it, name a file with its authority's certificate in SSL_CERT_FILE."
    return Trouble(kind=meant[0], reason=meant[1], hint=hint)


_TOLD = (
    ("dns error", (Kind.UNREACHABLE, "the server's name can't be found")),
    ("ConnectionRefused", (Kind.UNREACHABLE, "no server answers there (connection refused)")),
    ("ertificate", (Kind.HOPELESS, "the server's certificate isn't trusted")),
    ("TooManyRedirects", (Kind.HOPELESS, "the server leads from one address to another without end")),
)
_BY_HTTP_KIND = {
    "Timeout": (Kind.SILENT, "the server doesn't answer"),
    "Connect": (Kind.UNREACHABLE, "no connection can be made"),
}


def _elsewhere(address: Address) -> Trouble:
    if address.scheme != "s3":
        return Trouble(kind=Kind.HOPELESS, reason="the server says that it moved, but not where to")
    return Trouble(
        kind=Kind.HOPELESS,
        reason="the bucket lies in another region",
        hint="Set AWS_REGION to the bucket's region.",
    )


def error_of(doing: str, place: str, trouble: Trouble, *, attempts: int = 1) -> StorageError:
    """Return the error for the user, after so many attempts."""
    if trouble.kind is Kind.CHANGED:
        return changed_error(place)
    tried = f" ({attempts} attempts)" if attempts > 1 else ""
    return StorageError(f"{place}: can't {doing}: {trouble.reason}{tried}", hint=trouble.hint)


def changed_error(place: str) -> StorageError:
    """Return the error for a file that isn't the one that was opened any more."""
    return StorageError(
        f"{place}: changed while it was read",
        hint="Wait until nothing writes to the source, then plan and run again.",
    )
