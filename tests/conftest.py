"""Fixtures that tests of several packages use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from distexpand.demo.packages import MODEL_PACKAGES, require
from distexpand.errors import MissingDependencyError
from tests.support.azurite import Azurite, started_azurite
from tests.support.mounts import CLONING, KINDS, FileSystems, fresh_folder
from tests.support.seaweedfs import PUBLIC, SeaweedFS, started_seaweedfs
from tests.support.smollm2 import smollm2_checkpoint
from tests.support.store_environment import set_store_environment

# Seconds for each of many runs; the tests that are about the check ask for it.
os.environ["DISTEXPAND_CHECK_LOAD"] = "0"


@pytest.fixture(scope="session")
def smollm2(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a real model of 135 million parameters in bf16; only to be read.

    Kept in pytest's cache from one session to the next (`pytest --cache-clear` removes it).
    """
    try:
        require(MODEL_PACKAGES)
    except MissingDependencyError as error:
        pytest.skip(f"{error.message}. {error.hint}")
    cache = pytestconfig.cache
    return smollm2_checkpoint(cache.mkdir("distexpand") if cache else tmp_path_factory.mktemp("distexpand"))


@pytest.fixture(scope="session")
def file_systems(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileSystems]:
    """Return folders on real file systems by kind; asking for one that can't be here skips the test."""
    with FileSystems(tmp_path_factory.mktemp("mounts")) as mounted:
        yield mounted


@pytest.fixture(params=KINDS)
def any_place(request: pytest.FixtureRequest, file_systems: FileSystems) -> Iterator[Path]:
    """Return a folder on each kind of file system in turn."""
    with fresh_folder(file_systems[request.param]) as folder:
        yield folder


@pytest.fixture(params=CLONING)
def cloning_place(request: pytest.FixtureRequest, file_systems: FileSystems) -> Iterator[Path]:
    """Return a folder on each kind of file system whose files can share blocks, in turn."""
    with fresh_folder(file_systems[request.param]) as folder:
        yield folder


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """Return a running S3 server."""
    with started_seaweedfs(parent=tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture
def bucket(seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of an empty bucket, which clients find by the environment."""
    set_store_environment(monkeypatch, seaweedfs.environment())
    return seaweedfs.new_bucket()


@pytest.fixture(scope="session")
def public_bucket(seaweedfs: SeaweedFS) -> str:
    """Return the name of a bucket that is read without credentials, the same for all tests."""
    seaweedfs.client.create_bucket(Bucket=PUBLIC)
    return PUBLIC


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Return a running Azure blob server; asking for it where it isn't installed skips the test."""
    with started_azurite(parent=tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture
def container(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of an empty container, which clients find by the environment."""
    set_store_environment(monkeypatch, azurite.environment())
    return azurite.new_container()
