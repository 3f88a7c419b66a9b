"""Clients of object stores and web servers, set up as users of these stores expect.

Credentials, endpoints and proxies come from where the stores' own tools take them: the
environment and, for S3, boto3's configuration files. What is given nowhere is not there: the
place is then taken for a public one and asked without a signature, instead of waiting for a
metadata service that this machine doesn't have. A client never retries: only who reads knows what
has arrived already (see `object_reads`).
"""

import os
from collections.abc import Mapping
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from distexpand.errors import DistexpandError, MissingDependencyError, StorageError, UsageError
from distexpand.storage.address import WEB, Address

TIMEOUT_VARIABLE = "DISTEXPAND_TIMEOUT"
_TIMEOUT_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_LONGEST_REQUEST = timedelta(days=1)
"""The client has no word for `as long as bytes arrive`."""

_CREDENTIALS_OF_AZURE = (
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_MASTER_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TOKEN",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_CREDENTIAL_TYPE",
    "AZURE_USE_AZURE_CLI",
    "AZURE_STORAGE_USE_EMULATOR",
    "AZURE_MSI_ENDPOINT",
    "AZURE_IDENTITY_ENDPOINT",
)
_CREDENTIALS_OF_GOOGLE = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_BEARER_TOKEN",
)
_CREDENTIALS_OF_AWS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
HOW_TO_SIGN_IN = {
    "s3": "Give credentials as for AWS's tools: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; "
    "and AWS_ENDPOINT_URL if the server isn't Amazon's.",
    "gs": "Give credentials as for Google's tools: GOOGLE_APPLICATION_CREDENTIALS, "
    "or run: gcloud auth application-default login",
    "az": "Give AZURE_STORAGE_ACCOUNT_NAME and one of AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN or "
    "AZURE_STORAGE_CONNECTION_STRING; or AZURE_USE_AZURE_CLI=true after az login.",
    "hf": "Log in: hf auth login (or set HF_TOKEN).",
    "http": "Web servers are read without a login.",
    "https": "Web servers are read without a login.",
}
"""What users can do where a store wants to know who they are, by scheme."""


def object_client(address: Address, *, retries: int = 0) -> Any:
    """Return obstore's client of a bucket, container or web server; its keys begin below the address's path.

    Args:
        address: of the place.
        retries: how often the client itself makes a request again, for who can't know what has arrived.

    Raises:
        MissingDependencyError: obstore isn't installed.
        StorageError: what the environment says of credentials or endpoint can't be used.
        UsageError: the time-out isn't a number of seconds.
    """
    stores = require_obstore("obstore.store")
    try:
        match address.scheme:
            case "s3":
                return _s3(stores, address, retries)
            case "gs":
                return _google(stores, address, retries)
            case "az":
                return _azure(stores, address, retries)
            case scheme if scheme in WEB:
                return stores.HTTPStore(str(address), **_options(str(address), retries))
    except DistexpandError:
        raise
    except Exception:  # noqa: BLE001  # not repeated: the client's messages may hold what it was given
        raise StorageError(
            f"{address}: credentials or endpoint in the environment can't be used",
            hint=HOW_TO_SIGN_IN[address.scheme],
        ) from None
    raise ValueError(f"no client for {address.scheme}")


def has_credentials(address: Address) -> bool:
    """Whether requests to a bucket or container would be signed, by what the environment gives.

    Raises:
        StorageError: what the environment says can't be used.
    """
    match address.scheme:
        case "s3":
            chosen = _s3_by_boto3(address, "given")
            return "skip_signature" not in chosen
        case "gs":
            return _google_has_credentials()
        case "az":
            return _azure_signs(_azure_account(address))
    return False


def link_client(url: str, headers: Mapping[str, str]) -> Any:
    """Return obstore's client of one URL, which may be signed; the empty key asks for it.

    Raises:
        MissingDependencyError: obstore isn't installed.
    """
    options = _options(url, retries=0)
    options["client_options"]["default_headers"] = dict(headers)
    return require_obstore("obstore.store").HTTPStore.from_url(url, **options)


def require_obstore(module: str = "obstore") -> Any:
    """Return obstore or a module of it.

    Raises:
        MissingDependencyError: it isn't installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise MissingDependencyError(
            "places elsewhere than on this machine need obstore",
            hint="Install it with: pip install 'distexpand[stores]'",
        ) from None


def timeout_seconds() -> float:
    """Return after how many seconds without a byte a server counts as hanging.

    Raises:
        UsageError: the environment gives something else than a positive number.
    """
    given = os.environ.get(TIMEOUT_VARIABLE, "")
    try:
        seconds = float(given) if given else _TIMEOUT_SECONDS
    except ValueError:
        seconds = 0
    if not 0 < seconds < _LONGEST_REQUEST.total_seconds():
        raise UsageError(
            f"{TIMEOUT_VARIABLE}={given}: not a number of seconds", hint=f"Write it as {TIMEOUT_VARIABLE}=60."
        )
    return seconds


def _options(endpoint: str, retries: int) -> dict[str, Any]:
    """Return how a client talks to a server: how long it waits, and whether it does so in plain text."""
    patience = timeout_seconds()
    return {
        "client_options": {
            "connect_timeout": timedelta(seconds=min(patience, _CONNECT_SECONDS)),
            "read_timeout": timedelta(seconds=patience),
            "timeout": _LONGEST_REQUEST,
            "allow_http": endpoint.startswith("http://"),
        }
        | _certificates(),
        "retry_config": {"max_retries": retries},
    }


def _certificates() -> dict[str, bytes]:
    """Return the authorities that stores' tools are told to trust; the client knows SSL_CERT_FILE itself."""
    bundle = _first(os.environ, "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
    return {"root_certificate": Path(bundle).read_bytes()} if bundle and not Path(bundle).is_dir() else {}


def _s3(stores: Any, address: Address, retries: int) -> Any:
    endpoint = _first(os.environ, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    chosen = ({"endpoint": endpoint} if endpoint else {}) | _s3_by_boto3(address, endpoint)
    options = _options(chosen.get("endpoint", ""), retries)
    return stores.S3Store(address.root, prefix=address.path or None, **chosen, **options)


def _s3_by_boto3(address: Address, endpoint: str) -> dict[str, Any]:
    """Return credentials, region and endpoint as boto3 finds them, which knows all of AWS's ways."""
    try:
        boto3 = import_module("boto3")
        provider = import_module("obstore.auth.boto3").Boto3CredentialProvider
    except ImportError:
        return {} if any(map(os.environ.get, _CREDENTIALS_OF_AWS)) else {"skip_signature": True}
    try:
        session = boto3.Session()
        signs = not _is_set("AWS_SKIP_SIGNATURE") and session.get_credentials() is not None
        chosen = {"credential_provider": provider(session)} if signs else {"skip_signature": True}
        if session.region_name:
            chosen["region"] = session.region_name
        if not endpoint:  # may stand in a profile; making a client takes a while
            client = session.client("s3")
            chosen |= {"endpoint": client.meta.endpoint_url, "region": client.meta.region_name}
            client.close()
    except import_module("botocore.exceptions").BotoCoreError as error:
        raise StorageError(
            f"{address}: the configuration of AWS's tools can't be used: {type(error).__name__}",
            hint=HOW_TO_SIGN_IN["s3"],
        ) from None
    return chosen


def _google(stores: Any, address: Address, retries: int) -> Any:
    chosen = {} if _google_has_credentials() else {"skip_signature": True}
    options = _options(os.environ.get("GOOGLE_BASE_URL", ""), retries)
    return stores.GCSStore(address.root, prefix=address.path or None, **chosen, **options)


def _google_has_credentials() -> bool:
    if any(map(os.environ.get, _CREDENTIALS_OF_GOOGLE)):
        return True
    if Path("~/.config/gcloud/application_default_credentials.json").expanduser().exists():
        return True
    # As Google's own library tells its machines, which have a service that gives credentials.
    product = Path("/sys/class/dmi/id/product_name")
    return product.exists() and product.read_text().startswith("Google")


def _azure(stores: Any, address: Address, retries: int) -> Any:
    chosen = _azure_account(address)
    endpoint = chosen.get("endpoint") or _first(os.environ, "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
    if not _azure_signs(chosen):
        chosen["skip_signature"] = True
    return stores.AzureStore(
        address.root, prefix=address.path or None, **chosen, **_options(endpoint, retries)
    )


def _azure_signs(chosen: Mapping[str, str]) -> bool:
    given = {"account_key", "sas_key"} & set(chosen)
    return bool(given) or any(map(os.environ.get, _CREDENTIALS_OF_AZURE))


def _azure_account(address: Address) -> dict[str, Any]:
    """Return what a connection string says, or the account's name under the command line tool's variable.

    obstore itself reads neither.
    """
    stated = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    values = dict(part.split("=", 1) for part in stated.split(";") if "=" in part)
    account = values.get("AccountName") or _first(
        os.environ, "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"
    )
    endpoint = values.get("BlobEndpoint", "")
    if not account and not _is_set("AZURE_STORAGE_USE_EMULATOR"):
        raise StorageError(f"{address}: which storage account isn't said", hint=HOW_TO_SIGN_IN["az"])
    named = {
        "account_name": account,
        "account_key": values.get("AccountKey"),
        "sas_key": values.get("SharedAccessSignature"),
        "endpoint": endpoint.rstrip("/"),
    }
    return {name: value for name, value in named.items() if value}


def _first(values: Mapping[str, str], *names: str) -> str:
    return next((values[name] for name in names if values.get(name)), "")


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in {"1", "true", "yes", "on"}
