"""Addresses: where a checkpoint is or goes, as users write it and as plans keep it.

A text without a scheme is a local path, or a repository of the Hub where no such
directory exists; who reads it decides. Everything else is `scheme://root/path`.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from distexpand.closeness import did_you_mean
from distexpand.errors import UsageError

HUB = "hf"
FILE = "file"
OBJECT_STORES = frozenset({"s3", "gs", "az"})
WEB = frozenset({"http", "https"})
SCHEMES = frozenset({HUB, FILE}) | OBJECT_STORES | WEB

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_ALIASES = {"gcs": "gs", "azure": "az", "abfs": "az", "abfss": "az"}
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A place that isn't a plain local path.

    `root` is the bucket, the container, the repository (`org/name`) or the web server with its
    port; `path` is the folder inside, without slashes at its ends, empty for the root itself.
    `revision` is a branch, tag or commit of a repository.
    """

    scheme: str
    root: str
    path: str = ""
    revision: str | None = None

    def __str__(self) -> str:
        if self.scheme == FILE:
            return f"{FILE}://{quote(self.path)}"
        at = f"@{quote(self.revision, safe='')}" if self.revision else ""
        return f"{self.scheme}://{self.root}{at}" + (f"/{self.path}" if self.path else "")


def parse_address(text: str) -> Address | None:
    """Return the address that a text is, or nothing if it has no scheme and so may be a local path.

    Raises:
        UsageError: the scheme is unknown, something is missing or must not be there, or nothing is given.
    """
    if not text:
        raise empty_place()
    found = _SCHEME.match(text)
    if not found:
        return None
    scheme = found["scheme"].lower()
    scheme = _ALIASES.get(scheme, scheme)
    rest = text[found.end() :]
    if scheme not in SCHEMES:
        raise UsageError(
            f"{found['scheme']}://...: unknown kind of place",
            hint=f"Known are {', '.join(sorted(SCHEMES))}, and local paths. "
            f"{did_you_mean(found['scheme'], SCHEMES)}".rstrip(),
        )
    if scheme == HUB:
        return _hub(rest, text)
    if scheme == FILE:
        return _file(rest, text)
    return _plain(scheme, rest)


def empty_place() -> UsageError:
    """Return the error for an empty text, which as a path would mean the current folder."""
    return UsageError(
        "the place is empty",
        hint="Give a path or an address; `.` is the current folder. Is it a variable that isn't set?",
    )


def local_path(text: str) -> str | None:
    """Return the path that a text names on this machine, or nothing where it names a place elsewhere.

    Raises:
        UsageError: as `parse_address`.
    """
    address = parse_address(text)
    if address is None:
        return text
    return address.path if address.scheme == FILE else None


def is_repository(text: str) -> bool:
    """Whether a text without a scheme can be a repository of the Hub: `org/name`."""
    return _REPOSITORY.fullmatch(text) is not None


def _hub(rest: str, text: str) -> Address:
    match rest.strip("/").removeprefix("models/").split("/", 2):
        case [owner, name, *below]:
            name, at, revision = name.partition("@")
            if is_repository(f"{owner}/{name}") and bool(at) == bool(revision):
                path = below[0].strip("/") if below else ""
                return Address(
                    scheme=HUB, root=f"{owner}/{name}", path=path, revision=unquote(revision) or None
                )
    raise UsageError(
        f"{text}: not a model of the Hub", hint="Write hf://OWNER/NAME or hf://OWNER/NAME@REVISION."
    )


def _file(rest: str, text: str) -> Address:
    host, slash, path = rest.partition("/")
    if host not in {"", "localhost"} or not slash:
        raise UsageError(f"{text}: not a path of this machine", hint="Write file:///PATH, or the path alone.")
    return Address(scheme=FILE, root="", path=unquote(f"/{path}"))


def _plain(scheme: str, rest: str) -> Address:
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        _ = parts.port if scheme in WEB else None
    except ValueError:  # not repeated in the message, as below
        raise UsageError(
            f"{scheme}://...: server and port can't be told from each other",
            hint=f"Write it as {scheme}://SERVER:PORT/PATH.",
        ) from None
    # Not repeated in the message: what stands there may be a password or a signature.
    if "@" in parts.netloc:
        raise UsageError(
            f"{scheme}://{parts.netloc.rpartition('@')[2]}/...: a place can't hold a user name or password",
            hint="Give credentials as the store's own tools take them: environment or configuration file.",
        )
    if scheme in WEB and (parts.query or parts.fragment):
        raise UsageError(
            f"{scheme}://{parts.netloc}{parts.path}: a place on the web is a folder, without `?` or `#`",
            hint="Give the folder that holds all files of the checkpoint.",
        )
    root, _, path = rest.partition("/")
    if not root:
        raise UsageError(
            f"{scheme}://{rest}: names no {'server' if scheme in WEB else 'bucket'}",
            hint=f"Write it as {scheme}://NAME/PATH.",
        )
    path = path.strip("/")
    if scheme in OBJECT_STORES and path and {"", ".", ".."} & set(path.split("/")):
        raise UsageError(
            f"{scheme}://{rest}: a folder's name can't be empty, `.` or `..`",
            hint="Object stores know no parent folder; write the path without these.",
        )
    return Address(scheme=scheme, root=root, path=path)
