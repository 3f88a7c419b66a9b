"""How long a busy server wants to be left alone, which the client that reads doesn't tell.

obstore's exceptions have no headers. So after a refusal the server is asked once more, for a file's
head alone, by the plainest of clients. Rejected: reading by another client (several times the
processor time), and guessing.
"""

import urllib.error
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from distexpand.storage.objects.client import require_obstore, timeout_seconds

_SIGNED_FOR = timedelta(minutes=1)


def asked_pause(client: Any, key: str) -> float | None:
    """Return for how many seconds a server wants to be left alone, or nothing if it doesn't say."""
    with suppress(Exception):  # whatever happens here, the request itself is what counts
        request = urllib.request.Request(_url(client, key), method="HEAD")  # noqa: S310  # http only, see below
        try:
            urllib.request.urlopen(request, timeout=timeout_seconds()).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            with error:
                return _seconds(error.headers.get("Retry-After", ""))
    return None


def _url(client: Any, key: str) -> str:
    """Return a URL by which anyone can ask; it may hold a signature and is shown to nobody."""
    base = getattr(client, "url", None)
    url = (
        f"{str(base).rstrip('/')}/{quote(key)}"
        if base
        else require_obstore().sign(client, "HEAD", key, _SIGNED_FOR)
    )
    if not url.startswith(("http://", "https://")):
        raise ValueError
    return str(url)


def _seconds(header: str) -> float | None:
    """Read a `Retry-After`: seconds or a date."""
    if header.strip().isdecimal():
        return float(header)
    with suppress(ValueError):
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    return None
