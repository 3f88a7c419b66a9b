"""The client library of the Hugging Face Hub: imported when a place on the Hub is named, and kept quiet.

Endpoint, login, cache and proxies are the library's own business (`HF_ENDPOINT`, `HF_TOKEN`, `hf auth
login`, `HF_HOME`, `HTTPS_PROXY`). It draws progress bars and logs addresses that are good for as long
as a login; it also waits for ever where it isn't told for how long. That is set right here, for as
long as the user hasn't said otherwise.
"""

import os
from importlib import import_module
from typing import Any

from distexpand import __version__
from distexpand.errors import MissingDependencyError, StorageError

PATIENCE_SECONDS = 120.0
"""For how long a server may be silent: it answers a large commit after a minute or so."""

_CONNECT_SECONDS = 10.0


def hub_library(module: str = "huggingface_hub") -> Any:
    """Return the library, or a module of it.

    Raises:
        MissingDependencyError: it isn't installed.
        StorageError: it can't be imported with what the environment says.
    """
    try:
        return import_module(module)
    except ImportError:
        raise MissingDependencyError(
            "models of the Hugging Face Hub need huggingface_hub",
            hint="Install it with: pip install 'distexpand[hub]'",
        ) from None
    except ValueError:
        raise StorageError(
            "huggingface_hub can't be used as the environment says",
            hint="Check HF_ENDPOINT and other variables whose names begin with HF_.",
        ) from None


def hub_utilities() -> Any:
    """Return what the library's own parts and others share: headers, checks of answers."""
    return hub_library("huggingface_hub.utils")


def hub_api() -> Any:
    """Return the library's interface to the Hub, as the environment says.

    Raises:
        MissingDependencyError: the library isn't installed.
    """
    library = hub_library()
    _quieten()
    return library.HfApi(library_name="distexpand", library_version=__version__)


def is_offline() -> bool:
    """Whether the user said that the Hub isn't to be asked (`HF_HUB_OFFLINE`)."""
    return bool(hub_library("huggingface_hub.constants").HF_HUB_OFFLINE)


def is_logged_in() -> bool:
    """Whether there is a login; not whether the Hub still takes it."""
    return hub_library().get_token() is not None


def page_of(repository: str) -> str:
    """Return the address of a repository's page, without a password that the endpoint may have in it."""
    return f"{without_login(hub_library('huggingface_hub.constants').ENDPOINT)}/{repository}"


def without_login(url: str) -> str:
    """Return an address without the user and password that may stand before its host."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def set_time_limits() -> None:
    """Have the library's connections give up on a silent server, if nobody has set limits before."""
    session = hub_library().get_session()
    limits = session.timeout
    if limits.read is None and limits.connect is None:
        session.timeout = type(limits)(PATIENCE_SECONDS, connect=_CONNECT_SECONDS)


def _quieten() -> None:
    if "HF_HUB_VERBOSITY" not in os.environ and "HF_DEBUG" not in os.environ:
        hub_library("huggingface_hub.utils.logging").set_verbosity_error()
    if hub_library("huggingface_hub.constants").HF_HUB_DISABLE_PROGRESS_BARS is None:
        hub_utilities().disable_progress_bars()
