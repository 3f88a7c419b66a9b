"""`distexpand doctor --address`: a cluster that is there, by either of its addresses."""

import pytest

from tests.jobs.clients import SECRETS, Client


@pytest.mark.parametrize("kind", ["jobs", "head"])
def test_a_cluster_that_answers_runs_what_this_machine_runs(client: Client, kind: str) -> None:
    cluster = client.cluster
    address = cluster.dashboard_url if kind == "jobs" else cluster.address
    said = client("doctor", "--json", "--address", address)
    assert said.code == 0, said.err
    section = said.document["sections"][-1]
    assert section["title"] == f"Ray at {address}"
    found = {item["name"]: item for item in section["found"]}
    assert found["reachable"]["words"].startswith("yes")
    assert found["version"]["state"] == "ok"
    if kind == "head":
        assert "2 nodes" in found["reachable"]["words"]
    assert not any(
        secret in said.out + said.err for name, secret in SECRETS.items() if name != "RAY_AUTH_MODE"
    )
