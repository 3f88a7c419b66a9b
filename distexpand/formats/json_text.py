"""JSON read strictly: duplicate keys, NaN, broken Unicode and absurd nesting are errors.

The standard decoder keeps the last of two equal keys, which would let one
file mean two things to two readers; the safetensors format forbids it. It also
lets through escapes of half a character, which can't be written again. Infinity
stays: published configs of state space models have it (`time_step_limit`).
"""

import json
import math
from typing import Any

from distexpand.errors import CheckpointError

_BRIEF_CHARACTERS = 120


def brief(value: object) -> str:
    """Return how a stranger's value is shown in a message: escaped, and cut if it is long."""
    text = repr(value)
    return text if len(text) <= _BRIEF_CHARACTERS else f"{text[:_BRIEF_CHARACTERS]}..."


def load_json(raw: bytes | str, *, origin: str) -> Any:
    """Return the decoded document.

    Raises:
        CheckpointError: the text isn't JSON, isn't UTF-8 or repeats a key; names `origin`.
    """
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        document = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_constant)
        _refuse_half_characters(text, document)
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{origin}: not UTF-8 text (byte {error.start})") from None
    except RecursionError:
        raise CheckpointError(f"{origin}: JSON nested too deeply") from None
    except ValueError as error:
        raise CheckpointError(f"{origin}: not valid JSON: {error}") from None
    return document


def load_json_object(raw: bytes | str, *, origin: str) -> dict[str, Any]:
    """Return the decoded document, which has to be an object.

    Raises:
        CheckpointError: as `load_json`, or the document is of another kind.
    """
    document = load_json(raw, origin=origin)
    if not isinstance(document, dict):
        raise CheckpointError(f"{origin}: expected a JSON object, found {type(document).__name__}")
    return document


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {brief(key)} occurs twice")
            seen.add(key)
    return result


def _constant(name: str) -> float:
    if name == "NaN":
        raise ValueError("NaN is not a JSON number")
    return -math.inf if name.startswith("-") else math.inf


def _refuse_half_characters(text: str, document: Any) -> None:
    r"""Refuse surrogates that don't pair (`"\ud800"`); without such an escape there are none."""
    if "\\ud" in text.lower():
        try:
            json.dumps(document, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("an escape that is half a character") from None
