"""OUT, as commands take it: a directory here, or a place elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import click.shell_completion

from distexpand.cli.completion import folders
from distexpand.errors import UsageError

if TYPE_CHECKING:
    from distexpand.runner.place import Output


class Place(click.ParamType["Output"]):
    """A path, or an address such as `s3://bucket/model` and `hf://owner/name`."""

    name = "place"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,  # noqa: ARG002  # as click calls it
        ctx: click.Context | None,  # noqa: ARG002
    ) -> "Output":
        """Return the path or the address.

        Raises:
            UsageError: an address of no known kind, or one that can only be read.
        """
        from distexpand.runner.place import parse_output
        from distexpand.storage.address import Address

        return value if isinstance(value, Path | Address) else parse_output(str(value))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Complete folders."""
        return folders(ctx, param, incomplete)


PLACE = Place()


class LocalPath(click.Path):
    """A path of this machine; not the empty text of an unset variable, which would be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path.

        Raises:
            UsageError: it is empty.
        """
        if not value:
            from distexpand.storage.address import empty_place

            raise empty_place()
        return super().convert(value, param, ctx)


def any_place(text: str) -> "Output":
    """Return what a text names, which may also be only read.

    Raises:
        UsageError: an address of no known kind.
    """
    from distexpand.storage.address import parse_address

    address = parse_address(text)
    if address is None:
        return Path(text)
    return Path(address.path) if address.scheme == "file" else address


def local_only(out: "Output", what: str) -> Path:
    """Return the directory that OUT is.

    Raises:
        UsageError: it is a place elsewhere; says what can't be done there.
    """
    if isinstance(out, Path):
        return out
    raise UsageError(f"{out}: {what}", hint="Give a directory of this machine.")
