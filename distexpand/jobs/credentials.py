"""Nothing secret travels with a job.

Whoever reaches a cluster's dashboard can read what a job was given. So what
looks like a credential is refused before it leaves the user's machine, and so is
the value of any variable of the environment that is named like one. The message
says where it stands and of what kind it is, and never repeats it.
"""

import os
import re
from collections.abc import Mapping

from distexpand.errors import UsageError

# No part repeats without an end before a fixed text: a line of a megabyte must not take minutes.
_KINDS = (
    ("a URL with user name or password", re.compile(r"[a-z]://[^/\s@'\"]{1,1000}@", re.IGNORECASE)),
    ("a signed URL", re.compile(r"[?&](x-amz-signature|x-goog-signature|sig|signature)=", re.IGNORECASE)),
    ("a Hugging Face token", re.compile(r"\b(hf|api_org)_[A-Za-z0-9]{30,}")),
    ("an AWS access key", re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a GitHub token", re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,})")),
    ("a Google API key", re.compile(r"\bAIza[0-9A-Za-z_\-]{35}")),
    ("an API token", re.compile(r"(?<![\w\-])(sk-[A-Za-z0-9\-_]{32,}|xox[abprs]-[A-Za-z0-9\-]{20,})")),
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")),
    (
        "a named secret",
        re.compile(
            r"\b(aws_secret_access_key|aws_session_token|secret|passwd|password|api[_-]?key|access[_-]?key|"
            r"(auth|access|bearer|hf)?[_-]?token)\b[\"']?\s*[:=]\s*[\"']?[^\s\"'{\[<]{8,}",
            re.IGNORECASE,
        ),
    ),
)
_SECRET_NAME = re.compile(r"TOKEN(?!IZ)|SECRET|PASSWORD|PASSWD|CREDENTIAL|_KEY$|^KEY$|APIKEY", re.IGNORECASE)
_SHORTEST = 8
_HINT = (
    "What travels with a job can be read by whoever reaches the cluster. Give the cluster its credentials "
    "by its own means (its environment, an instance role, a mounted secret), and take this out."
)


def refuse_credentials(parts: Mapping[str, str], *, environment: Mapping[str, str] | None = None) -> None:
    """Check that no text looks like a credential or holds one of this environment's.

    Args:
        parts: text by what it is called in a message.
        environment: this process's, if none is given.

    Raises:
        UsageError: one does; says which text, which line and what kind, never the value.
    """
    environment = os.environ if environment is None else environment
    held = {
        value: name
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST and not value.startswith("/")
    }
    for called, text in parts.items():
        for number, line in enumerate(text.splitlines(), start=1):
            found = _credential(line, held)
            if found:
                where = f"{called}, line {number}" if "\n" in text.strip() else called
                raise UsageError(f"{where}: holds what looks like {found}", hint=_HINT)


def _credential(line: str, held: Mapping[str, str]) -> str:
    for value, name in held.items():
        if value in line:
            return f"the value of the environment's {name}"
    return next((kind for kind, pattern in _KINDS if pattern.search(line)), "")
