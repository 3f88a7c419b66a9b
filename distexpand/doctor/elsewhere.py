"""Places on a network: do they answer, and who are we to them? Nothing is written there."""

import os
from dataclasses import replace

from distexpand.doctor.findings import Found, Section, State
from distexpand.errors import DistexpandError
from distexpand.report.sizes import plural
from distexpand.storage.address import HUB, WEB, Address
from distexpand.storage.hub.client import (
    hub_api,
    hub_library,
    is_logged_in,
    is_offline,
    page_of,
    set_time_limits,
)
from distexpand.storage.hub.errors import HubError, hub_error
from distexpand.storage.hub.repository import HubRepository
from distexpand.storage.local.scratch import is_streamed, scratch_place
from distexpand.storage.objects.client import HOW_TO_SIGN_IN, has_credentials
from distexpand.storage.objects.requests import Requests

_LOG_IN = "Log in: hf auth login (or set HF_TOKEN)."


def look_elsewhere(address: Address) -> Section:
    """Return whether a place is reached, and with which login."""
    try:
        found = _repository(address) if address.scheme == HUB else _store(address)
    except DistexpandError as error:
        found = (_failed("reachable", error),)
    return Section(title=str(address), found=found)


def look_at_hub() -> Section:
    """Return whether the Hub takes this machine's login; without one nothing is asked."""
    try:
        endpoint = page_of("").rstrip("/")
        found: tuple[Found, ...] = (Found(name="endpoint", words=endpoint), _login())
    except DistexpandError as error:  # the library isn't there: what it's for is said with the extras
        found = (Found(name="login", words=error.message),)
    return Section(title="Hugging Face Hub", found=found)


def _login() -> Found:
    if is_offline():
        return Found(
            name="login",
            words="offline mode",
            state=State.ADVICE,
            advice="Unset HF_HUB_OFFLINE to use the Hub.",
        )
    if not is_logged_in():
        return Found(
            name="login",
            words="none: public models can be read, nothing written",
            state=State.ADVICE,
            advice=_LOG_IN,
        )
    set_time_limits()
    try:
        who = hub_api().whoami()
    except Exception as error:  # noqa: BLE001  # whatever the client raises
        return _no_answer(hub_error(error, "the Hub", ""))
    return Found(name="login", words=_who(who))


def _no_answer(error: DistexpandError) -> Found:
    """Return what to make of a failure; that the Hub is out of reach is in the way of who needs it only."""
    found = _failed("login", error)
    refused = isinstance(error, HubError) and error.status
    return found if refused else replace(found, state=State.ADVICE)


def _who(answer: object) -> str:
    """Return name and role of the login; never more of what the Hub says of it."""
    facts = answer if isinstance(answer, dict) else {}
    token = (facts.get("auth") or {}).get("accessToken") or {}
    role = token.get("role")
    return f"{facts.get('name', 'known')}" + (
        f", with a token that may {_MAY.get(role, role)}" if role else ""
    )


_MAY = {"read": "read", "write": "write", "fineGrained": "do what was chosen for it"}


def _repository(address: Address) -> tuple[Found, ...]:
    repository = HubRepository(name=address.root, place=str(address))
    if repository.exists():
        snapshot = repository.at(address.revision)
        words = f"yes, at commit {snapshot.commit[:12]} with {plural(len(snapshot.files), 'file')}"
        return (Found(name="reachable", words=words), _transfer())
    if is_logged_in():
        return (
            Found(
                name="reachable",
                words="no such repository, or not for this login",
                state=State.ADVICE,
                advice="As an output it would be made, private; as a source check its name and your access.",
            ),
        )
    words = "no such repository, or it is private or gated"
    return (Found(name="reachable", words=words, state=State.PROBLEM, advice=_LOG_IN),)


def _transfer() -> Found:
    disabled = hub_library("huggingface_hub.constants").HF_HUB_DISABLE_XET
    words = "whole files, from " + str(scratch_place()) + ("; Xet is switched off" if disabled else "")
    return Found(name="a run writes", words=words)


def _store(address: Address) -> tuple[Found, ...]:
    requests = Requests(address)
    signs = _signs(address)
    try:
        if address.scheme in WEB:
            version = requests.version_of_file("config.json")
            words = "yes" if version else "the server answers, but has no config.json there"
        else:
            files, folders = requests.folder("")
            words = f"yes, {plural(len(files), 'file')} and {plural(len(folders), 'folder')} there"
    except DistexpandError as error:
        return (signs, _failed("reachable", error))
    return (signs, Found(name="reachable", words=words), *_moves(address))


def _signs(address: Address) -> Found:
    if address.scheme in WEB:
        return Found(name="login", words="none needed")
    if has_credentials(address):
        return Found(name="login", words="credentials are found")
    return Found(
        name="login",
        words="no credentials: it is asked as a public place",
        state=State.ADVICE,
        advice=HOW_TO_SIGN_IN[address.scheme],
    )


def _moves(address: Address) -> tuple[Found, ...]:
    if address.scheme in WEB:
        return (Found(name="a run writes", words="nothing: web servers are only read"),)
    how = "parts, as they are made" if is_streamed(address.scheme) else f"whole files, from {scratch_place()}"
    proxies = [name for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY") if os.environ.get(name)]
    through = f", by the proxy of {proxies[0]}" if proxies else ""
    return (Found(name="a run writes", words=f"{how}{through}; writing wasn't tried"),)


def _failed(name: str, error: DistexpandError) -> Found:
    return Found(name=name, words=error.message, state=State.PROBLEM, advice=error.hint)
