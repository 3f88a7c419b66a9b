"""Places on a network in an environment that a test chooses, and what comes of using them."""

import pytest

from distexpand.errors import StorageError
from distexpand.storage.objects.source import ObjectSource
from tests.storage.contract import read
from tests.support.store_environment import set_store_environment


@pytest.fixture
def environment(monkeypatch):
    """Return a function that sets the variables which clients read, and no others."""

    def set_to(**variables):
        set_store_environment(monkeypatch, {"DISTEXPAND_TIMEOUT": "0.3", **variables})

    return set_to


def listed(address):
    return ObjectSource(address).files()


def failure(address):
    """Return the error that listing and reading a place both end with."""
    errors = []
    for use in (listed, lambda address: read(ObjectSource(address).open("config.json"), 0, 1)):
        with pytest.raises(StorageError) as raised:
            use(address)
        errors.append(raised.value)
    assert errors[0].message.partition(":")[0] == errors[1].message.partition(":")[0] == address.scheme
    return errors[0]
