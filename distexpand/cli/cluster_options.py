"""Options of the commands that talk to a cluster, and how an address is found."""

from typing import TYPE_CHECKING

import click

from distexpand.cli.options import Command

if TYPE_CHECKING:
    from distexpand.jobs.ray_client import BoundedClient


def address_option(command: Command) -> Command:
    """--address."""
    return click.option(
        "--address",
        metavar="URL",
        help="The cluster's Jobs API, as http://HEAD:8265; `auto` on a machine of the cluster.  "
        "[default: RAY_API_SERVER_ADDRESS or RAY_ADDRESS of the environment]",
    )(command)


def connected_client(address: str | None) -> "BoundedClient":
    """Return a client of the cluster that is meant.

    Raises:
        DistexpandError: no address, or the cluster can't be reached.
    """
    from distexpand.jobs.connection import connect_to

    return connect_to(address)
