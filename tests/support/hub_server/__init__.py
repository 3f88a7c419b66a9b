"""A small Hugging Face Hub on loopback, against which the real client library works.

No third-party server does: those that exist serve downloads only and ignore ranges. This one keeps
repositories with branches, commits, Git blobs and large files by digest, and answers the routes that
huggingface_hub calls as the Hub does: redirects to signed links on another host, error codes in
headers, commits that are refused when the branch has moved, uploads in one piece or in parts.
It counts requests and bytes by route, and fails on demand.
"""

from tests.support.hub_server.faults import Fault, lost_answer, rate_limited, stalled
from tests.support.hub_server.hub import Hub
from tests.support.hub_server.server import HubServer

__all__ = ["Fault", "Hub", "HubServer", "lost_answer", "rate_limited", "stalled"]
