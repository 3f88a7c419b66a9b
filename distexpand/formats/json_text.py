"""JSON read strictly: duplicate keys, non-finite numbers and absurd nesting are errors.

The standard decoder keeps the last of two equal keys, which would let one
file mean two things to two readers; the safetensors format forbids it.
"""

import json
from typing import Any, NoReturn

from distexpand.errors import CheckpointError


def load_json(raw: bytes | str, *, origin: str) -> Any:
    """Return the decoded document.

    Raises:
        CheckpointError: the text isn't JSON, isn't UTF-8 or repeats a key; names `origin`.
    """
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        return json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{origin}: not UTF-8 text (byte {error.start})") from None
    except RecursionError:
        raise CheckpointError(f"{origin}: JSON nested too deeply") from None
    except ValueError as error:
        raise CheckpointError(f"{origin}: not valid JSON: {error}") from None


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
                raise ValueError(f"key {key!r} occurs twice")
            seen.add(key)
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
