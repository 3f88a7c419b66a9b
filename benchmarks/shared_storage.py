"""A storage host and its mounts on other hosts: a shared file system over the simulated network.

`sshfs` without ssh: each mount talks SFTP to an `sftp-server` of its own on
the storage host, unencrypted, so that the processors are left for the work.
Nothing is kept of names, attributes and data, so that hosts see each other's
files as soon as these are there. Needs Debian's sshfs and openssh-sftp-server.
NFS was rejected, as it needs the kernel's server.
"""

import socket
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.hosts import Host

PORT = 2049
_SERVER = "/usr/lib/openssh/sftp-server"
_OPTIONS = (
    "directport={port}",
    "dir_cache=no",
    "attr_timeout=0",
    "entry_timeout=0",
    "negative_timeout=0",
    "ac_attr_timeout=0",
    # Else small requests to read wait in line behind all that is being written.
    "max_conns=4",
)


def serve(storage: Host) -> None:
    """Start serving this machine's files from a host."""
    storage.start([sys.executable, __file__, storage.address])
    deadline = time.monotonic() + 10
    probe = f"import socket; socket.create_connection(({storage.address!r}, {PORT}), 1)"
    while subprocess.run(
        storage.command([sys.executable, "-c", probe]), stderr=subprocess.DEVNULL, check=False
    ).returncode:
        if time.monotonic() > deadline:
            sys.exit(f"{_SERVER} can't be reached: it is in Debian's openssh-sftp-server")
        time.sleep(0.1)


def mount(host: Host, storage: Host, directory: Path, point: Path) -> None:
    """Mount the storage's `directory` at `point` on one host alone."""
    host.run(["mkdir", "-p", point])
    options = ",".join(_OPTIONS).format(port=PORT)
    host.run(["sshfs", "-o", options, f"{storage.address}:{directory}", point])


def _listen(address: str) -> None:
    """Give each connection an SFTP server of its own."""
    with socket.create_server((address, PORT)) as server:
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            subprocess.Popen([_SERVER], stdin=connection, stdout=connection)
            connection.close()


if __name__ == "__main__":
    _listen(sys.argv[1])
