"""Checkpoints put where a user would have them, and outputs fetched back to be compared."""

from collections.abc import Mapping
from pathlib import Path

from tests.support.seaweedfs import SeaweedFS


def files_of(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory by its path there."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def put_in_bucket(server: SeaweedFS, bucket: str, prefix: str, files: Mapping[str, bytes]) -> str:
    """Upload files below a prefix and return the address."""
    server.put(bucket, {f"{prefix}/{name}": raw for name, raw in files.items()})
    return f"s3://{bucket}/{prefix}"


def fetch_from_bucket(server: SeaweedFS, bucket: str, prefix: str) -> dict[str, bytes]:
    """Return every object below a prefix by its path there."""
    found = {}
    for page in server.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
        for entry in page.get("Contents", []):
            body = server.client.get_object(Bucket=bucket, Key=entry["Key"])["Body"]
            found[entry["Key"].removeprefix(f"{prefix}/")] = body.read()
    return found
