"""The journal: receipts of shards that are whole, in the order in which they came.

A receipt is made durable before its shard gets the final name, so that after a
crash either the final name or the attempt named in the receipt is there. The
last line may be torn by a crash; it is then as if it had never been written.
"""

import os
from pathlib import Path

from distexpand.commit.files import sync_directory
from distexpand.engine.receipt import Receipt, decode_receipt, encode_receipt
from distexpand.storage.local.os_errors import storage_error


def read_journal(path: Path) -> dict[str, Receipt]:
    """Return the receipts by shard name; of two for one shard the later counts.

    Raises:
        StorageError: the file can't be read.
    """
    try:
        lines = path.read_bytes().split(b"\n") if path.exists() else []
    except OSError as error:
        raise storage_error("read", path, error) from None
    receipts: dict[str, Receipt] = {}
    for line in lines:
        try:
            receipt = decode_receipt(line.decode())
        except ValueError:
            continue
        receipts[receipt.shard] = receipt
    return receipts


def append_receipt(path: Path, receipt: Receipt) -> None:
    """Add a receipt durably.

    Raises:
        StorageError: the file can't be written.
    """
    new = not path.exists()
    try:
        with path.open("ab") as file:
            # A torn line before this one must not swallow it.
            file.write(b"\n" + encode_receipt(receipt).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise storage_error("write", path, error) from None
    if new:
        sync_directory(path.parent)
