"""What the Hub and its client library say went wrong, as errors of ours.

A message names the model and what the user can do; what the server said is
repeated only without addresses and tokens, since both the library's messages
and its servers' name links that are as good as a login.
"""

import re
from collections.abc import Callable
from json import JSONDecodeError
from typing import Any

from distexpand.errors import DistexpandError, StorageError
from distexpand.storage.hub.client import hub_library, is_logged_in, page_of, without_login

_SECRET = re.compile(r"\w+://\S+|\bhf_\w+|\bBearer\s+\S+", re.IGNORECASE)
_CODE = re.compile(r"<Code>([A-Za-z]{3,40})</Code>")
_MOST_SAID = 300

_GARBLED = re.compile(
    "improperly formatted|malformed|invalid server response|invalid etag|valid commit oid", re.IGNORECASE
)
"""What the library says of answers that it checks; without it, they aren't asked for again."""

BUSY = frozenset({408, 429, 500, 502, 503, 504})
"""Answers after which the same question may be answered later."""


class HubError(StorageError):
    """The Hub refused, or couldn't be asked; `status` is that of its answer, 0 if none came."""

    status: int = 0


def hub_error(error: BaseException, place: str, repository: str) -> DistexpandError:
    """Return our error for one of the library's.

    Args:
        error: what was raised.
        place: how messages name what was worked on.
        repository: `org/name`.
    """
    if isinstance(error, DistexpandError):
        return error
    told = _told(error, place, repository)
    told.status = status_of(error)
    return told


def status_of(error: BaseException) -> int:
    """Return the status of the answer that an error of the library is about, 0 if there was none."""
    response = getattr(error, "response", None)
    return int(getattr(response, "status_code", 0) or 0)


def root_error(error: BaseException) -> BaseException:
    """Return what went wrong when a file was sent, which the library wraps."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def is_passing(error: BaseException) -> bool:
    """Whether the same may succeed later.

    That is so without a connection or an answer, where a server is busy or out of order, and with
    an answer that makes no sense.
    """
    error = root_error(error)
    errors = hub_library("huggingface_hub.errors")
    if isinstance(error, errors.HfHubHTTPError):
        return status_of(error) in BUSY
    if isinstance(error, errors.OfflineModeIsEnabled):
        return False
    return isinstance(error, (_transport_error(), ConnectionError, TimeoutError)) or _is_garbled(error)


def _is_garbled(error: BaseException) -> bool:
    """Whether the Hub answered that all is well, and the library couldn't make out what.

    It takes answers apart as they come: what is missing there shows as errors of the language. That
    a file which is to be copied isn't there is said where a list was too short, not by the Hub.
    """
    if isinstance(error, hub_library("huggingface_hub.errors").EntryNotFoundError):
        return not isinstance(error, OSError)
    if type(error) is ValueError:
        return _GARBLED.search(str(error)) is not None
    return isinstance(error, (JSONDecodeError, UnicodeDecodeError, LookupError, TypeError, AttributeError))


def _transport_error() -> Any:
    """Return the root of the HTTP client's errors; which client that is differs between versions."""
    return hub_library("huggingface_hub.errors").HfHubHTTPError.__mro__[1]


def without_secrets(text: str) -> str:
    """Return one line of what was said, without addresses and tokens."""
    return " ".join(_SECRET.sub("...", text).split())[:_MOST_SAID]


def _told(error: BaseException, place: str, repository: str) -> HubError:
    error = root_error(error)
    errors = hub_library("huggingface_hub.errors")
    if _is_garbled(error):
        return HubError(
            f"{place}: the Hub's answer makes no sense ({_words(error)})",
            hint="If that stays so, something may answer in its place: check HF_ENDPOINT and proxies.",
        )
    for kind, tell in _TOLD.items():
        if isinstance(error, getattr(errors, kind)):
            return tell(error, place, repository)
    if is_passing(error):
        return HubError(
            f"{place}: the Hub can't be reached ({type(error).__name__})",
            hint="Check the network, and HF_ENDPOINT and proxies if you have set them.",
        )
    return HubError(f"{place}: {_words(error)}")


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {without_secrets(str(error))}"


def _gated(_: Any, place: str, repository: str) -> HubError:
    page = page_of(repository)
    if is_logged_in():
        return HubError(
            f"{place}: access to this model is restricted, and your login isn't among those let in",
            hint=f"Ask for access at {page}",
        )
    return HubError(
        f"{place}: access to this model is restricted to those who asked for it",
        hint=f"Ask for access at {page}, then log in: hf auth login (or set HF_TOKEN)",
    )


def _missing(_: Any, place: str, repository: str) -> HubError:
    page = page_of(repository)
    if is_logged_in():
        return HubError(
            f"{place}: no such model, or a private one that your login may not see",
            hint=f"Check the name, and with which login you can see {page}",
        )
    return HubError(
        f"{place}: no such model, or a private one",
        hint=f"Check the name at {page}; if it is private, log in: hf auth login (or set HF_TOKEN)",
    )


def _refused(error: Any, place: str, repository: str) -> HubError:
    status = status_of(error)
    said = _said(error)
    if not without_login(str(error.response.url)).startswith(page_of("")):
        return HubError(f"{place}: the host of large files answered {status}{said}")
    if status == 401 and not is_logged_in():  # noqa: PLR2004
        return _missing(error, place, repository)
    if status == 401:  # noqa: PLR2004
        return HubError(
            f"{place}: the Hub doesn't take your token",
            hint="It may have expired: log in again with hf auth login, or correct HF_TOKEN.",
        )
    if status == 403:  # noqa: PLR2004
        return HubError(
            f"{place}: your login isn't allowed to do this{said}",
            hint=f"Use a token that may, or ask for access at {page_of(repository)}",
        )
    if status == 429:  # noqa: PLR2004
        return HubError(
            f"{place}: the Hub takes no more requests for now{said}",
            hint="Call again later; those who are logged in may ask more often.",
        )
    return HubError(f"{place}: the Hub answered {status}{said}")


def _said(error: Any) -> str:
    """Return the reason that the server gave; of a store's markup, which holds signatures, the code alone."""
    text = str(error.server_message or "")
    if "<" in text:
        code = _CODE.search(text)
        text = code[1] if code else ""
    said = without_secrets(text)
    return f": {said}" if said else ""


def _no_revision(_: Any, place: str, repository: str) -> HubError:
    hint = f"See what there is: {page_of(repository)}/tree/main"
    return HubError(f"{place}: no such branch, tag or commit", hint=hint)


def _disabled(_: Any, place: str, _repository: str) -> HubError:
    return HubError(f"{place}: the Hub has disabled this repository")


def _no_file(_: Any, place: str, _repository: str) -> HubError:
    return HubError(f"{place}: no such file there")


def _offline(_: Any, place: str, _repository: str) -> HubError:
    return HubError(f"{place}: the Hub isn't asked in offline mode", hint="Unset HF_HUB_OFFLINE.")


def _no_name(error: Any, place: str, _repository: str) -> HubError:
    return HubError(f"{place}: can't be the name of a repository: {without_secrets(str(error))}")


_TOLD: dict[str, Callable[[Any, str, str], HubError]] = {
    "GatedRepoError": _gated,
    "DisabledRepoError": _disabled,
    "RevisionNotFoundError": _no_revision,
    "EntryNotFoundError": _no_file,
    "RepositoryNotFoundError": _missing,
    "HfHubHTTPError": _refused,
    "OfflineModeIsEnabled": _offline,
    "HFValidationError": _no_name,
}
"""What each of the library's errors means, by its name; those before are kinds of those behind."""
