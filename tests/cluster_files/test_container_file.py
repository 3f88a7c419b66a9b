"""The container file, by hadolint, and what the image must not do."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import distexpand
from tests.cluster_files import manifests

FILE = manifests.CLUSTER / "container" / "Containerfile"


def hadolint() -> str:
    found = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if found is None:
        pytest.skip("hadolint isn't installed")
    return found


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([hadolint(), str(FILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_runs_as_a_user_with_a_number() -> None:
    users = re.findall(r"^USER (.+)$", FILE.read_text(), re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d*:\d+", users[-1])


def test_what_it_copies_is_there_and_enough_to_build_from() -> None:
    copied = re.findall(r"^COPY (?:--chown=\S+ )?((?!--)\S.*) \S+$", FILE.read_text(), re.MULTILINE)
    files = [name for line in copied for name in line.split()]
    assert {"pyproject.toml", "README.md", "LICENSE", "distexpand"} == set(files)
    assert all((manifests.ROOT / name).exists() for name in files)


def test_images_and_versions_agree_everywhere() -> None:
    text = "".join(
        path.read_text()
        for path in manifests.CLUSTER.rglob("*")
        if path.is_file() and "one-machine" not in path.parts and path.suffix != ".json"
    )
    assert set(re.findall(r"rayproject/ray:(\d[\w.-]*)", text)) == {"2.60.0-py311"}
    assert set(re.findall(r"\bdistexpand:(\d[\w.-]*\w)", text)) == {f"{version('distexpand')}-ray2.60.0"}
    assert Path(distexpand.__file__).parent == manifests.ROOT / "distexpand"
