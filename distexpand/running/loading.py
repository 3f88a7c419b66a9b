"""Loading an output in transformers, as anybody will: what was planned to load does."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distexpand.errors import CheckpointError, VerificationError
from distexpand.proof.classes import UnknownModelError, load_class, read_config
from distexpand.running.libraries import quiet, words

_CONTROL_GROUP = Path("/sys/fs/cgroup")
_COMPARE = "Does the source load? If it does, `distexpand verify OUT --sources` says what differs."
_PROBLEMS = {
    "missing_keys": "missing",
    "unexpected_keys": "unexpected",
    "mismatched_keys": "of another shape",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What loaded an output: the class, the version of transformers, and whether layers stayed on disk."""

    loader: str
    from_disk: bool
    parameters: int


def free_memory() -> int:
    """Return the bytes of memory that are there to be taken, on this machine and in this container."""
    facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    free = int(facts["MemAvailable"].split()[0]) * 1024
    limit, used = (_control_group(name) for name in ("memory.max", "memory.current"))
    return free if limit is None or used is None else min(free, limit - used)


def _control_group(name: str) -> int | None:
    try:
        text = (_CONTROL_GROUP / name).read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def load(
    directory: Path,
    *,
    size: int,
    prefix: str,
    layers: int,
    memory: int | None = None,
    trust_remote_code: bool = False,
) -> Loaded:
    """Load an output with accelerate, its layers dispatched from disk where it is larger than the memory.

    Args:
        directory: the output.
        size: bytes of its weights.
        prefix: what its layers are called.
        layers: how many there are; tensors of layers behind the last are no fault.
        memory: bytes that may be taken; half of what is free if not given.
        trust_remote_code: whether code that came with the model may run.

    Raises:
        VerificationError: a key is missing, unexpected or of another shape, or it doesn't load; names it.
        CheckpointError: transformers has no class for it.
    """
    import transformers  # noqa: PLC0415  # takes seconds

    memory = free_memory() // 2 if memory is None else memory
    from_disk = size > memory
    try:
        with quiet():
            config = read_config(str(directory), trust_remote_code=trust_remote_code)
            model_class = load_class(config, str(directory), trust_remote_code=trust_remote_code)
    except UnknownModelError as error:
        raise CheckpointError(f"{directory}: {error}") from None
    except Exception as error:
        raise VerificationError(
            f"{directory}: its config doesn't load: {words(error)}",
            hint="Does the source's load? If it does, `distexpand verify OUT --sources` says what differs.",
        ) from error
    loader = f"{model_class.__name__} of transformers {transformers.__version__}"
    with tempfile.TemporaryDirectory(prefix="distexpand-") as folder:
        options: dict[str, Any] = {"device_map": {"": "cpu"}}
        if from_disk:
            options = {"device_map": "auto", "max_memory": {"cpu": memory}, "offload_folder": folder}
        try:
            with quiet():
                model, info = model_class.from_pretrained(
                    directory,
                    config=config,
                    dtype="auto",
                    local_files_only=True,
                    ignore_mismatched_sizes=True,
                    output_loading_info=True,
                    trust_remote_code=trust_remote_code,
                    **options,
                )
        except Exception as error:
            raise VerificationError(
                f"{directory}: doesn't load as {loader}: {words(error)}",
                hint=_COMPARE,
            ) from error
        _judge(directory, info, re.compile(rf"{re.escape(prefix)}(\d+)\."), layers)
        parameters = sum(weight.numel() for weight in model.parameters())
    return Loaded(loader=loader, from_disk=from_disk, parameters=parameters)


def _judge(directory: Path, info: dict[str, Any], layer: re.Pattern[str], layers: int) -> None:
    for kind, problem in _PROBLEMS.items():
        keys = sorted(str(key if isinstance(key, str) else key[0]) for key in info.get(kind) or ())
        if kind == "unexpected_keys":
            # layers that predict further tokens: the source has them too, for other programs than this
            keys = [key for key in keys if not ((found := layer.search(key)) and int(found[1]) >= layers)]
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise VerificationError(
                f"{directory}: on loading, {keys[0]!r} is {problem}{more}",
                hint=_COMPARE,
            )
