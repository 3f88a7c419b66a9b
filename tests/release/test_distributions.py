"""What is released works by itself: the wheel without the source tree, the sdist without the repository."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import distexpand
from tests.api.small import BLOCKS, small_model
from tests.release.conftest import ROOT, build, outside, run

pytest.importorskip("build", reason="needs pip install 'distexpand[dev]'")
pytest.importorskip("hatchling", reason="needs pip install 'distexpand[dev]'")


@pytest.fixture(scope="module")
def installed(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the scripts of an environment that has the wheel and what it requires, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", str(folder / "venv")], cwd=folder)
    pip = [str(folder / "venv/bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    done = subprocess.run(
        [*pip, str(_wheel(distributions))],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"the wheel's requirements can't be had here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return folder / "venv/bin"


def test_the_wheel_works_in_an_empty_environment(installed: Path, tmp_path: Path) -> None:
    model = small_model(tmp_path / "a")
    (tmp_path / "recipe.yml").write_text(BLOCKS)

    def call(*arguments: str) -> str:
        command = [str(installed / "distexpand"), *arguments]
        return run(command, cwd=tmp_path, environment=outside(tmp_path))

    assert call("--version").split()[-1] == distexpand.__version__
    assert "Usage: distexpand" in call("--help")
    planned = json.loads(call("plan", "recipe.yml", "--model", f"a={model}", "--json"))
    assert planned["layers"]
    call("run", "recipe.yml", "out", "--model", f"a={model}")
    report = json.loads(call("verify", "out", "--sources", "--model", f"a={model}", "--json"))
    assert report["ok"]


def test_the_wheel_is_all_that_is_imported_and_it_is_typed(installed: Path, tmp_path: Path) -> None:
    code = "import distexpand, pathlib; print(pathlib.Path(distexpand.__file__).parent)"
    printed = run([str(installed / "python"), "-c", code], cwd=tmp_path, environment=outside(tmp_path))
    package = Path(printed.strip())
    assert installed.parent in package.parents
    assert (package / "py.typed").is_file()
    assert [
        path.name for path in package.parent.iterdir() if path.name in {"tests", "docs", "benchmarks"}
    ] == []


def test_the_sdist_builds_the_wheel_that_the_repository_builds(distributions: Path, tmp_path: Path) -> None:
    build("--wheel", "--outdir", str(tmp_path))
    assert _contents(_wheel(distributions)) == _contents(_wheel(tmp_path))


def test_the_wheel_holds_every_file_of_the_package(distributions: Path) -> None:
    packed = {name for name in _contents(_wheel(distributions)) if name.startswith("distexpand/")}
    there = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "distexpand").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == there


def test_the_sdist_holds_what_its_own_checks_need(distributions: Path) -> None:
    [archive] = distributions.glob("*.tar.gz")
    with tarfile.open(archive) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    needed = {"README.md", "LICENSE", "Makefile", "CHANGELOG.md", "tests/conftest.py", "docs/conf.py"}
    assert needed <= names
    assert [name for name in names if name.startswith((".venv", "site", "build", "dist/"))] == []


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changes = re.findall(r"^## (?:\[)?(\S+?)(?:\])?(?: - \d{4}-\d\d-\d\d)?$", _changelog(), re.MULTILINE)
    assert project["version"] == distexpand.__version__ == cited["version"]
    assert changes[0] == "Unreleased" or changes[0] == project["version"]
    assert cited["license"] == project["license"]


def _changelog() -> str:
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def _wheel(folder: Path) -> Path:
    [wheel] = folder.glob("*.whl")
    return wheel


def _contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
