"""The receipt: what a worker hands in for one whole attempt at a shard."""

import json
from dataclasses import asdict, dataclass

from distexpand.formats.json_record import record


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One shard, written, synced and checked under an attempt's name.

    `digest` and the tensors' digests are hexadecimal (see `planning.digest_layout`), empty for a
    tensor that shares blocks with its source and so was never read; the shard's is of its
    header and of the digests that there are. `seconds` is the attempt's duration.
    """

    shard: str
    attempt: str
    size: int
    digest: str
    tensors: tuple[tuple[str, str], ...]
    seconds: float


def encode_receipt(receipt: Receipt) -> str:
    """Return the receipt as one line of JSON."""
    return json.dumps(asdict(receipt), separators=(",", ":"), ensure_ascii=False)


def decode_receipt(line: str) -> Receipt:
    """Return the receipt of a line.

    Raises:
        ValueError: the line isn't a whole receipt.
    """
    try:
        return record(Receipt, json.loads(line))
    except (TypeError, RecursionError) as error:
        raise ValueError(f"not a receipt: {error}") from None
