"""Ports for servers that a test starts.

They lie below the range from which the kernel takes ports of outgoing
connections, so that a server can be restarted on its own port. Asking the
kernel for port 0 was rejected: such a port may be given away meanwhile.
"""

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_RANGE = range(22_000, 32_000)


def find() -> int:
    """Return a port that nothing listens on."""
    while not is_free(port := random.choice(_RANGE)):
        pass
    return port


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port, on any address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


@contextmanager
def silent() -> Iterator[int]:
    """Give a port on which connections are taken, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        yield listener.getsockname()[1]
