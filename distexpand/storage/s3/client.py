"""boto3's client of S3 and of what speaks its protocol, and what its errors say.

Uploads go through boto3's low-level calls: of the well-kept clients it alone lists the uploads and
parts that there are, completes one only where nothing of that name is yet, and copies parts inside
the store. Payloads aren't signed: digesting every byte for it costs more processor than sending
it, and TLS guards it on the way.
"""

import os
import random
from typing import Any
from urllib.parse import urlsplit

from distexpand.errors import MissingDependencyError, StorageError
from distexpand.pauses import Retry, pause_to_retry
from distexpand.storage.objects.client import HOW_TO_SIGN_IN, timeout_seconds

_ATTEMPTS = 8
_CONNECT_SECONDS = 10.0
_CONNECTIONS = 64
"""More than threads are likely to be; those that aren't used aren't opened."""

_BUSY = frozenset({408, 429})
_TRIED_AGAIN = _BUSY | {500, 502, 503, 504}
_LONGEST_PAUSE_SECONDS = 60.0

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn")
_CHECKSUMS = "AWS_REQUEST_CHECKSUM_CALCULATION"

_DENIED = "Check that these credentials may write and list there, and list and abort multipart uploads."
_ADVICE = {
    "AccessDenied": _DENIED,
    "403": _DENIED,
    "InvalidAccessKeyId": HOW_TO_SIGN_IN["s3"],
    "SignatureDoesNotMatch": HOW_TO_SIGN_IN["s3"],
    "ExpiredToken": "The credentials have expired: renew them, then go on with --resume.",
    "NoSuchBucket": "Make the bucket first, or check its name, region and endpoint.",
    "PermanentRedirect": "Set AWS_REGION to the bucket's region.",
    "AuthorizationHeaderMalformed": "Set AWS_REGION to the bucket's region.",
    "SlowDown": "The store asks for fewer requests: go on later with --resume.",
}


def s3_client(*, hasty: bool = False) -> Any:
    """Return a client for the endpoint and credentials of the environment; threads may share it.

    Args:
        hasty: whether it gives up soon, for what is only nice to have.

    Raises:
        MissingDependencyError: boto3 isn't installed.
        StorageError: what the environment says of credentials or endpoint can't be used.
    """
    boto3, config = _boto3()
    patience = min(timeout_seconds(), _CONNECT_SECONDS) if hasty else timeout_seconds()
    settings = {
        "connect_timeout": min(patience, _CONNECT_SECONDS),
        "read_timeout": patience,
        "max_pool_connections": _CONNECTIONS,
        "retries": {"mode": "standard", "total_max_attempts": 2 if hasty else _ATTEMPTS},
        "request_checksum_calculation": os.environ.get(_CHECKSUMS, "when_required").lower(),
        "response_checksum_validation": "when_required",
    }

    def made(session: Any, **naming: str) -> Any:
        return session.client(
            "s3",
            endpoint_url=next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), None),
            region_name=os.environ.get("AWS_REGION") or session.region_name,
            config=config(**settings, s3={"payload_signing_enabled": False, **naming}),
        )

    try:
        session = boto3.Session()
        client = made(session, **_naming())
        if _needs_paths(client):
            client = made(session, addressing_style="path")
    except Exception as error:  # noqa: BLE001  # not repeated: it may hold what the environment gave
        raise StorageError(
            f"S3: credentials or endpoint in the environment can't be used ({type(error).__name__})",
            hint=HOW_TO_SIGN_IN["s3"],
        ) from None
    if not hasty:
        client.meta.events.register_first("needs-retry.s3", _heed_interrupt)
        client.meta.events.register("needs-retry.s3", _pause_of_the_busy)
    return client


def _heed_interrupt(response: tuple[Any, Any] | None, attempts: int, **_: Any) -> None:
    """Tell of a failure that boto3 is about to wait after, and don't let it where the work is to end.

    Its pause itself, of 20 s at most, can't be ended.
    """
    if attempts < _ATTEMPTS and (response is None or response[0].status_code in _TRIED_AGAIN):
        reason = "no answer" if response is None else f"the store answers {response[0].status_code}"
        pause_to_retry(Retry(place="S3", reason=reason, seconds=0.0))


def _pause_of_the_busy(response: tuple[Any, Any] | None, attempts: int, **_: Any) -> float | None:
    """Return how long to wait where a store asks for it by a status that AWS's own doesn't give.

    boto3 knows AWS's words for it only; others' stores answer 429, and may say for how long.
    """
    if response is None or response[0].status_code not in _BUSY or attempts >= _ATTEMPTS:
        return None
    asked = response[0].headers.get("Retry-After", "")
    backoff = min(2.0**attempts, _LONGEST_PAUSE_SECONDS) * random.uniform(0.25, 0.5)  # noqa: S311  # jitter
    return max(backoff, min(float(asked), _LONGEST_PAUSE_SECONDS) if asked.isdecimal() else 0.0)


def s3_error(place: str, doing: str, error: Exception) -> StorageError:
    """Map an error of boto3 to ours; of what it says only the store's code is repeated."""
    hint = (
        HOW_TO_SIGN_IN["s3"] if "Credentials" in type(error).__name__ else _ADVICE.get(error_code(error), "")
    )
    return StorageError(f"{place}: can't {doing}: {_words(error)}", hint=hint)


def error_code(error: Exception) -> str:
    """Return the store's word for what went wrong; empty if it gave no answer."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def s3_errors() -> tuple[type[Exception], ...]:
    """Return what boto3's calls raise."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    return (BotoCoreError, ClientError)


def _boto3() -> tuple[Any, Any]:
    try:
        import boto3  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415
    except ImportError:
        raise MissingDependencyError(
            "writing to S3 needs boto3", hint="Install it with: pip install 'distexpand[stores]'"
        ) from None
    return boto3, Config


def _naming() -> dict[str, str]:
    """Return how the environment wants buckets to be named, if it says so."""
    virtual = os.environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() in {"1", "true", "yes", "on"}
    return {"addressing_style": "virtual"} if virtual else {}


def _needs_paths(client: Any) -> bool:
    """Whether buckets are to be named in paths: other servers than Amazon's rarely have a host for each."""
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    return not host.endswith(_AMAZON) and not client.meta.config.s3.get("addressing_style")


def _words(error: Exception) -> str:
    """Return the store's code for what went wrong, not its message, in which anything may stand."""
    code = error_code(error)
    if code:
        return f"the server answers {code}"
    name = type(error).__name__.removesuffix("Error")
    return {
        "ReadTimeout": "the server hangs",
        "ConnectTimeout": "no connection in time",
        "EndpointConnection": "the server can't be reached",
        "ConnectionClosed": "the connection broke",
        "NoCredentials": "no credentials were found",
    }.get(name, name)
