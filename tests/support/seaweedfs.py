"""A real S3 server for tests: SeaweedFS, which keeps conditional writes, ranges and multipart uploads.

It comes as a binary from the Python package index, so that it is there wherever the tests are.
Rejected: moto, which doesn't check secrets; others that ignore `If-Match`.
"""

import json
import os
import shutil
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.support import free_ports
from tests.support.server_process import server_process

REGION = "us-east-1"
PUBLIC = "public"
"""A bucket, to be made by who needs it, that everyone may read."""

_PORTS = (
    "-master.port",
    "-master.port.grpc",
    "-volume.port",
    "-volume.port.grpc",
    "-filer.port",
    "-filer.port.grpc",
    "-s3.port",
    "-s3.port.grpc",
)
_OPTIONS = (
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-master.telemetry=false",
    "-master.volumeSizeLimitMB=512",
    "-volume.max=400",
    "-filer",
    "-filer.maxMB=16",
    "-s3",
    "-s3.port.lance=0",
    "-s3.port.iceberg=0",
)
# One volume for a bucket, not seven: there are many buckets, and little in each.
_SETTINGS = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SeaweedFS:
    """A server and its one access key; `client` is boto3's, by which tests look past the package."""

    endpoint: str
    access_key: str
    secret_key: str
    client: Any = field(repr=False)
    _numbers: Iterator[int] = field(default_factory=count, repr=False)

    def environment(self, endpoint: str = "") -> dict[str, str]:
        """Return the variables by which clients find the server, or a proxy that stands before it."""
        return {
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
        }

    def new_bucket(self) -> str:
        """Make a bucket that nobody else uses, and return its name."""
        name = f"bucket-{next(self._numbers)}"
        self.client.create_bucket(Bucket=name)
        return name

    def put(self, bucket: str, files: Mapping[str, bytes]) -> None:
        """Store files by their keys."""
        for key, raw in files.items():
            self.client.put_object(Bucket=bucket, Key=key, Body=raw)

    def contents(self, bucket: str) -> dict[str, bytes]:
        """Return all that a bucket holds."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {key: self.client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


@contextmanager
def started_seaweedfs(*, parent: Path | None = None) -> Iterator[SeaweedFS]:
    """Start a server with an empty store and one access key; its files are removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="seaweedfs-", dir=parent))
    ports = dict(zip(_PORTS, _different_ports(len(_PORTS)), strict=True))
    server = _server(f"http://127.0.0.1:{ports['-s3.port']}")
    (directory / "s3.json").write_text(_identities(server))
    command = [
        str(Path(sysconfig.get_path("scripts")) / "weed"),
        f"-logdir={directory}",
        "server",
        f"-dir={directory}",
        f"-s3.config={directory / 's3.json'}",
        *_OPTIONS,
        *(f"{option}={port}" for option, port in ports.items()),
    ]
    try:
        with server_process(
            command,
            directory=directory,
            is_ready=lambda: _stores(server),
            environment={**os.environ, **_SETTINGS},
        ):
            yield server
    finally:
        server.client.close()
        shutil.rmtree(directory, ignore_errors=True)


def _server(endpoint: str) -> SeaweedFS:
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    access_key, secret_key = "AKIDOFTESTS", "known-to-tests-only"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )
    return SeaweedFS(endpoint=endpoint, access_key=access_key, secret_key=secret_key, client=client)


def _stores(server: SeaweedFS) -> bool:
    """Whether an object can be written, for which all of the server's parts have to know each other."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    with suppress(BotoCoreError, ClientError):
        server.put(server.new_bucket(), {"ready": b"yes"})
        return True
    return False


def _different_ports(number: int) -> list[int]:
    found: set[int] = set()
    while len(found) < number:
        found.add(free_ports.find())
    return list(found)


def _identities(server: SeaweedFS) -> str:
    keys = {"accessKey": server.access_key, "secretKey": server.secret_key}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    return json.dumps(
        {
            "identities": [
                {"name": "tests", "credentials": [keys], "actions": actions},
                {"name": "anonymous", "actions": [f"Read:{PUBLIC}", f"List:{PUBLIC}"]},
            ]
        }
    )
