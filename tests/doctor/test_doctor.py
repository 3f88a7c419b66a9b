"""`distexpand doctor` on real file systems, servers and limits."""

import json
import os
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from distexpand.doctor import elsewhere, machine, programs
from distexpand.doctor.findings import Found, Section, State
from distexpand.doctor.folder import look_at_folder
from distexpand.storage.address import parse_address
from tests.cli.calls import call, command
from tests.support.free_ports import find as free_port
from tests.support.hub_server import HubServer
from tests.support.hub_server.client import connected
from tests.support.mounts import shares_blocks
from tests.support.range_server import range_server
from tests.support.seaweedfs import SeaweedFS
from tests.support.store_environment import set_store_environment


def by_name(section: Section) -> dict[str, Found]:
    return {found.name: found for found in section.found}


def look_elsewhere(place: str) -> dict[str, Found]:
    address = parse_address(place)
    assert address is not None
    return by_name(elsewhere.look_elsewhere(address))


def test_each_file_system_is_as_other_tools_find_it(any_place: Path) -> None:
    kind = subprocess.run(
        ["stat", "--file-system", "--format=%T", any_place], capture_output=True, text=True, check=True
    ).stdout.strip()
    found = by_name(look_at_folder(any_place))
    assert kind.removesuffix("fs").startswith(found["file system"].words.removesuffix("fs")[:3])
    assert found["shared blocks"].words.startswith("yes") is shares_blocks(any_place)
    assert found["locks"].words == "yes"
    assert (found["file system"].state is State.ADVICE) is (kind == "tmpfs")
    assert found["a run writes"].words.split(" ")[0] in {"direct", "buffered"}
    assert list(any_place.iterdir()) == []


def test_a_folder_that_is_not_there_yet_is_judged_by_the_one_that_it_would_be_in(tmp_path: Path) -> None:
    section = look_at_folder(tmp_path / "a" / "b")
    assert str(tmp_path) in section.title
    assert "not there yet" in section.title
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_can_not_be_written_to_is_a_problem() -> None:
    found = by_name(look_at_folder(Path("/proc")))
    assert found["writing"].state is State.PROBLEM
    assert found["writing"].advice
    assert call("doctor", "/proc").code == 1


def test_what_is_installed_is_said_without_importing_it(tmp_path: Path) -> None:
    program = (
        "import sys; from distexpand.cli.main import run_cli; run_cli(['doctor', '--json']); "
        "heavy = {'torch', 'ray', 'transformers', 'boto3', 'obstore'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["problems"] == 0
    [listed] = [part["found"] for part in document["sections"] if part["title"] == "Program"]
    words = {found["name"]: found["words"] for found in listed}
    assert f"obstore {metadata.version('obstore')}" in words["stores"]
    assert {state["state"] for state in listed} <= {"ok", "advice"}


def test_an_extra_that_is_missing_or_old_comes_with_the_command_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = metadata.version

    def version(package: str) -> str:
        if package == "torch":
            raise metadata.PackageNotFoundError(package)
        return "1.2.3" if package in {"obstore", "ray"} else real(package)

    monkeypatch.setattr(programs.metadata, "version", version)
    found = by_name(programs.look_at_programs())
    assert found["torch"].words == "lacks torch"
    assert found["torch"].advice.endswith("pip install 'distexpand[torch]'")
    assert found["ray"].words.startswith("lacks ray 1.2.3, needs 2.")
    assert found["stores"].state is State.OK
    assert all(metadata.requires("distexpand"))
    assert programs._numbers("2.13.0+cpu") > programs._numbers("2.6")


def test_limits_of_this_process_are_seen() -> None:
    found = by_name(machine.look_at_machine())
    assert int(found["processors"].words.split(",")[0]) == len(os.sched_getaffinity(0))
    assert " free of " in found["memory"].words
    own = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); "
        "from distexpand.doctor.machine import look_at_machine; "
        "print([f.state.value for f in look_at_machine().found if f.name == 'open files'][0])"
    )
    done = subprocess.run([sys.executable, "-c", own], capture_output=True, text=True, check=True)
    assert done.stdout == "advice\n"
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] != 256


def test_limits_of_control_groups_are_those_of_the_narrowest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = tmp_path / "jobs" / "mine"
    group.mkdir(parents=True)
    (tmp_path / "own").write_text("0::/jobs/mine\n")
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("1000\n")
    (group.parent / "memory.max").write_text("90000000\n")
    (group.parent / "memory.current").write_text("40000000\n")
    (group / "cpu.max").write_text("50000 100000\n")
    monkeypatch.setattr(machine, "_GROUPS", tmp_path)
    monkeypatch.setattr(machine, "_OWN_GROUP", tmp_path / "own")
    found = by_name(machine.look_at_machine())
    assert found["processors"].words.endswith("limited to 0.5 of them")
    assert found["memory"].words.startswith("50.0 MB free of ")
    assert found["memory"].words.endswith("limited to 90.0 MB")
    assert found["memory"].state is State.PROBLEM


def test_a_bucket_is_reached_with_its_login(bucket: str, seaweedfs: SeaweedFS) -> None:
    found = look_elsewhere(f"s3://{bucket}/models")
    assert found["login"].words == "credentials are found"
    assert found["reachable"].words == "yes, 0 files and 0 folders there"
    assert "writing wasn't tried" in found["a run writes"].words
    shown = json.dumps([item.words + item.advice for item in found.values()])
    assert seaweedfs.secret_key not in shown


def test_a_bucket_that_is_not_there_or_not_for_us_is_a_problem_with_a_next_step(
    bucket: str, seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    del bucket
    assert look_elsewhere("s3://no-such-bucket")["reachable"].state is State.PROBLEM
    environment = seaweedfs.environment() | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    set_store_environment(monkeypatch, environment)
    refused = look_elsewhere("s3://no-such-bucket")["reachable"]
    assert refused.state is State.PROBLEM
    assert refused.advice


def test_a_server_that_is_away_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    set_store_environment(monkeypatch, {"DISTEXPAND_TIMEOUT": "1"})
    found = look_elsewhere(f"http://127.0.0.1:{free_port()}/model")
    assert found["reachable"].state is State.PROBLEM
    with range_server() as server:
        server.put("model/config.json", b"{}")
        assert look_elsewhere(f"{server.endpoint}/model")["reachable"].words == "yes"
        assert "no config.json" in look_elsewhere(f"{server.endpoint}/other")["reachable"].words


def test_who_we_are_to_the_hub(tmp_path: Path) -> None:
    with HubServer(tmp_path / "hub") as server:
        token = server.hub.add_user("ann")
        with connected(server, tmp_path / "home", token=token):
            found = by_name(elsewhere.look_at_hub())
            assert found["login"].state is State.OK
            assert found["login"].words.startswith("ann")
            assert token not in json.dumps([item.words + item.advice for item in found.values()])
            assert look_elsewhere("hf://ann/nothing")["reachable"].state is State.ADVICE
        with connected(server, tmp_path / "nobody"):
            assert by_name(elsewhere.look_at_hub())["login"].advice.startswith("Log in: hf auth login")
            assert look_elsewhere("hf://ann/nothing")["reachable"].state is State.PROBLEM
        with connected(server, tmp_path / "other", token="hf_wrong"):
            refused = by_name(elsewhere.look_at_hub())["login"]
            assert refused.state is State.PROBLEM
            assert "hf_wrong" not in refused.words + refused.advice
        with connected(server, tmp_path / "offline", token=token, offline=True):
            assert by_name(elsewhere.look_at_hub())["login"].words == "offline mode"


def test_a_cluster_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs pip install 'distexpand[ray]'")
    for address in (f"127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}", "ray://head:10001"):
        done = call("doctor", "--json", "--address", address, cwd=tmp_path)
        assert done.code == 1
        document: Any = done.document
        last = document["sections"][-1]
        assert last["title"] == f"Ray at {address}"
        assert last["found"][0]["state"] == "problem"
        assert last["found"][0]["advice"]


def test_the_report_fits_a_terminal(tmp_path: Path) -> None:
    for width in (60, 80, 120):
        done = subprocess.run(
            command("doctor"),
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=os.environ | {"COLUMNS": str(width)},
        )
        assert done.returncode == 0
        assert done.stderr == ""
        titles = [line for line in done.stdout.splitlines() if line and not line.startswith(" ")]
        assert {"Program", "This machine", "Hugging Face Hub"} <= {title.rstrip() for title in titles}
        rows = [line for line in done.stdout.splitlines() if line.startswith(" ")]
        assert all(len(line) <= width for line in rows)
