"""Old `.bin` checkpoints: where each tensor's bytes lie, from the pickle alone.

torch loads the pickle under a fake tensor mode, restricted to weights: no
storage is read, no code of the pickle is run, and each storage comes back with
the record that it lies in, so that a `.bin` is copied by byte ranges like any
other source. Rejected: reading the pickle ourselves (a parser for a format
that can run code is torch's business, not ours).
"""

import warnings
from collections.abc import Mapping
from typing import Any

from distexpand.errors import CheckpointError, MissingDependencyError
from distexpand.formats.catalog import TensorEntry, WeightFile
from distexpand.formats.dtypes import DType
from distexpand.formats.json_text import brief
from distexpand.intake.pickle_archive import PickleArchive, Record, empty_copy, read_archive
from distexpand.intake.pins import digest
from distexpand.storage.ranges import SourceStore

_DTYPES = {
    "bool": DType.BOOL,
    "uint8": DType.U8,
    "int8": DType.I8,
    "int16": DType.I16,
    "int32": DType.I32,
    "int64": DType.I64,
    "float16": DType.F16,
    "bfloat16": DType.BF16,
    "float32": DType.F32,
    "float64": DType.F64,
    "float8_e4m3fn": DType.F8_E4M3,
    "float8_e5m2": DType.F8_E5M2,
}


def read_pickled(store: SourceStore, path: str) -> tuple[list[TensorEntry], WeightFile]:
    """Return a `.bin` file's tensors and pin.

    Raises:
        CheckpointError: not torch's zip format, a pickle that wants more than weights, or
            a tensor that isn't contiguous in the file.
        MissingDependencyError: torch isn't installed.
    """
    origin = f"{store.location}/{path}"
    reader = store.open(path)
    try:
        archive = read_archive(reader, origin=origin)
    finally:
        reader.close()
    state, records = _load(archive, origin)
    entries = [_entry(name, tensor, path, records, origin) for name, tensor in state.items()]
    return entries, WeightFile(name=path, size=reader.size, pin=digest(archive.pickle))


def _load(archive: PickleArchive, origin: str) -> tuple[dict[str, Any], dict[int, Record]]:
    try:
        import torch  # noqa: PLC0415
        from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: PLC0415
    except ImportError:
        raise MissingDependencyError(
            f"{origin}: reading .bin checkpoints needs torch",
            hint="Install it with: pip install 'distexpand[torch]'",
        ) from None
    try:
        with warnings.catch_warnings(), FakeTensorMode():
            warnings.simplefilter("ignore")
            file, records = empty_copy(archive)
            state = torch.load(file, weights_only=True)
    except Exception:  # noqa: BLE001  # a stranger's pickle makes torch fail in any way it likes
        raise CheckpointError(
            f"{origin}: refused: the pickle isn't a plain set of weights, or is damaged",
            hint="A pickle can run code when it is loaded; only tensors by name are accepted.",
        ) from None
    if not isinstance(state, dict):
        raise CheckpointError(f"{origin}: expected tensors by name, found {type(state).__name__}")
    return state, records


def _entry(name: Any, tensor: Any, path: str, records: Mapping[int, Record], origin: str) -> TensorEntry:
    if not isinstance(name, str) or not hasattr(tensor, "untyped_storage"):
        raise CheckpointError(f"{origin}: entry {brief(name)} is not a tensor")
    dtype = _DTYPES.get(str(tensor.dtype).removeprefix("torch."))
    if dtype is None or not _is_plain(tensor):
        raise CheckpointError(
            f"{origin}: tensor {brief(name)} ({tensor.dtype}) isn't a plain contiguous one",
            hint="Convert the checkpoint to safetensors first (load and save it with transformers).",
        )
    record = records.get(getattr(tensor.untyped_storage(), "_checkpoint_offset", -1))
    begin = tensor.storage_offset() * tensor.element_size()
    length = tensor.numel() * tensor.element_size()
    if record is None or begin + length > record.length:
        raise CheckpointError(f"{origin}: tensor {brief(name)} goes beyond its record in the archive")
    return TensorEntry(
        name=name,
        dtype=dtype,
        shape=tuple(tensor.shape),
        file=path,
        offset=record.offset + begin,
        length=length,
    )


def _is_plain(tensor: Any) -> bool:
    """Whether the tensor's bytes in the file are its values in order, nothing else."""
    strided = str(tensor.layout) == "torch.strided"
    return strided and tensor.is_contiguous() and not tensor.is_neg() and not tensor.is_conj()
