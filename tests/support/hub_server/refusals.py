"""What the Hub answers when it refuses, with the headers by which its client tells the reasons apart."""


class RefusedError(Exception):
    """An answer with an error status; `code` is the Hub's name for the reason, where it gives one."""

    def __init__(self, status: int, message: str, *, code: str = "", headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = {
            "X-Error-Message": message,
            **({"X-Error-Code": code} if code else {}),
            **(headers or {}),
        }


def unknown_repository(*, anonymous: bool) -> RefusedError:
    """A repository that isn't there, or isn't to be seen: who isn't logged in can't tell the difference."""
    if anonymous:
        return RefusedError(401, "Invalid username or password.")
    return RefusedError(404, "Repository not found", code="RepoNotFound")


def revision_not_found(revision: str) -> RefusedError:
    return RefusedError(404, f"Invalid rev id: {revision}", code="RevisionNotFound")


def entry_not_found(path: str) -> RefusedError:
    return RefusedError(
        404, f"Entry not found: {path}".encode("ascii", "replace").decode(), code="EntryNotFound"
    )


def gated(repository: str, *, anonymous: bool) -> RefusedError:
    """A repository whose files are for those who asked and were let in."""
    if anonymous:
        message = f"Access to model {repository} is restricted. You must be authenticated to access it."
        return RefusedError(401, message, code="GatedRepo")
    message = f"Access to model {repository} is restricted and you are not in the authorized list."
    return RefusedError(403, message, code="GatedRepo")
