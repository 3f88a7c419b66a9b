"""Whether a finished output still has its files: what a resume looks at before it says that all is done."""

from collections.abc import Callable
from pathlib import Path

from distexpand.commit.index_text import index_text
from distexpand.commit.manifest import Manifest
from distexpand.errors import OutputError
from distexpand.formats.index import INDEX_NAME
from distexpand.planning.model import CONFIG_NAME, Plan
from distexpand.storage.local.os_errors import storage_error

_VERIFY = "`distexpand verify` finds whatever else is wrong"


def require_complete(output: Path, manifest: Manifest, plan: Plan) -> None:
    """Check an output in a directory; as `require_sizes`.

    Raises:
        OutputError: a file is missing or of another size.
        StorageError: one can't be looked at.
    """
    require_sizes(lambda name: _size(output / name), manifest, plan, output=str(output))


def require_sizes(
    size_of: Callable[[str], int | None], manifest: Manifest, plan: Plan, *, output: str
) -> None:
    """Check presence and size of every file that the manifest names; no content is read.

    A text that users edit, the model card, may have any size.

    Args:
        size_of: gives a file's bytes, or nothing if it isn't there.
        manifest: of the output.
        plan: that made it.
        output: its name in messages.

    Raises:
        OutputError: a file is missing or of another size.
    """
    expected = _expected_sizes(manifest, plan)
    for name in manifest.file_names:
        size = size_of(name)
        if size is None:
            raise OutputError(
                f"{output}: the run is finished, but {name} is missing since",
                hint=f"Make the output anew with --overwrite; {_VERIFY}.",
            )
        if size != expected.get(name, size):
            raise OutputError(
                f"{output}: the run is finished, but {name} has {size:,} bytes instead of {expected[name]:,}",
                hint=f"To make the output anew, move that file away and use --overwrite; {_VERIFY}.",
            )


def _expected_sizes(manifest: Manifest, plan: Plan) -> dict[str, int]:
    sizes = {copied.name: plan.sources[copied.source].size for copied in plan.copies}
    sizes |= {text.name: len(text.text.encode()) for text in plan.texts if text.name == CONFIG_NAME}
    sizes |= {shard.name: shard.size for shard in manifest.shards}
    return sizes | {INDEX_NAME: len(index_text(plan).encode())}


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError as error:
        raise storage_error("read", path, error) from None
