"""What a check is given that none of its parts uses: a slip that would pass for a check that was made."""

from collections.abc import Iterator


def without_purpose(
    *,
    sources: bool,
    load: bool,
    identity: bool,
    models: bool,
    text: bool,
    device: bool,
    trust_remote_code: bool,
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each of the last four that is given in vain, and the checks that it is for."""
    asked = {"sources": sources, "load": load, "identity": identity}
    for name, given, purposes in (
        ("model", models, ("sources", "identity")),
        ("text", text, ("identity",)),
        ("device", device, ("identity",)),
        ("trust_remote_code", trust_remote_code, ("load", "identity")),
    ):
        if given and not any(asked[purpose] for purpose in purposes):
            yield name, purposes
