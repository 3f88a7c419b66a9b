"""Comparing two checkpoints: bit for bit by tensor, byte for byte by file, and in transformers."""

import hashlib
from pathlib import Path
from typing import Any

TEXTS = ("The capital of France is", "def fibonacci(n):", "Once upon a time, there were 3 bears")


def tensor_differences(ours: Path, theirs: Path) -> list[str]:
    """Return what differs, one line per tensor; -0.0 counts as 0."""
    found, expected = _open_all(ours), _open_all(theirs)
    lines = [f"{name}: only in {ours.name}" for name in sorted(found.keys() - expected.keys())]
    lines += [f"{name}: only in {theirs.name}" for name in sorted(expected.keys() - found.keys())]
    for name in sorted(found.keys() & expected.keys()):
        line = _difference(found[name].get_tensor(name), expected[name].get_tensor(name))
        if line:
            lines.append(f"{name}: {line}")
    return lines


def _open_all(directory: Path) -> dict[str, Any]:
    """Return for each tensor the open file that holds it."""
    from safetensors import safe_open  # noqa: PLC0415 - slow to import

    paths = sorted(directory.glob("*.safetensors"))
    files: list[Any] = [safe_open(path, framework="pt") for path in paths]
    return {name: file for file in files for name in file.keys()}  # noqa: SIM118 - not a mapping


def _difference(found: Any, expected: Any) -> str:
    import torch  # noqa: PLC0415 - slow to import

    if found.dtype != expected.dtype or found.shape != expected.shape:
        return f"{found.dtype} {tuple(found.shape)} against {expected.dtype} {tuple(expected.shape)}"
    words = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[found.dtype.itemsize]
    differs = (found.view(words) != expected.view(words)) & ~((found == 0) & (expected == 0))
    count = int(differs.sum())
    if not count:
        return ""
    at = int(differs.flatten().nonzero()[0])
    one, other = found.flatten()[at].item(), expected.flatten()[at].item()
    return f"{count} of {found.numel()} values differ, first at {at}: {one!r} against {other!r}"


def loading_problems(directory: Path) -> list[str]:
    """Return what transformers says about keys when it loads the checkpoint."""
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - slow to import
    from transformers.utils import logging  # noqa: PLC0415 - slow to import

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        _, info = AutoModelForCausalLM.from_pretrained(directory, dtype="auto", output_loading_info=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
        return [f"{type(error).__name__}: {error}".splitlines()[0]]
    return [f"{kind}: {sorted(map(str, keys))[:3]}" for kind, keys in info.items() if keys]


def logit_differences(directory: Path, original: Path) -> list[str]:
    """Return the texts after which two checkpoints' logits differ in any bit."""
    from distexpand.demo.answer import Speaker  # noqa: PLC0415 - slow to import

    one, other = Speaker(directory), Speaker(original)
    return [text for text in TEXTS if (one.logits(text) != other.logits(text)).any()]


def config_differences(ours: Path, theirs: Path) -> list[str]:
    """Return the config values that differ once transformers has read them, with both values.

    Older and newer spellings of a key (`rope_theta`, `torch_dtype`) are the same to it.
    """
    from transformers import AutoConfig  # noqa: PLC0415 - slow to import

    found, expected = (AutoConfig.from_pretrained(path).to_dict() for path in (ours, theirs))
    unimportant = {"_name_or_path", "transformers_version"}
    return [
        f"{key}: {found.get(key, 'absent')!r} against {expected.get(key, 'absent')!r}"
        for key in sorted((found.keys() | expected.keys()) - unimportant)
        if found.get(key, "absent") != expected.get(key, "absent")
    ]


def file_digests(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a directory by relative name."""
    digests = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digests[str(path.relative_to(directory))] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests
