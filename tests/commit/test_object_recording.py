"""A finished output's manifest in an object store is replaced whole, if nobody has touched it since."""

from dataclasses import replace

import pytest

from distexpand.commit.committer import OutputMode
from distexpand.commit.manifest import MANIFEST_NAME, decode_manifest, encode_manifest
from distexpand.commit.objects.committer import ObjectCommitter
from distexpand.commit.objects.recording import record_object_manifest
from distexpand.errors import OutputError
from tests.commit.store_runs import QUICK, run_to_store


@pytest.fixture
def manifests(plan, expected, place):
    """Return the manifest of an output that lies in the place, and another one."""
    run_to_store(plan, place.address)
    before = decode_manifest(expected[MANIFEST_NAME], origin="m")
    return before, replace(before, parameters=before.parameters + 1)


def test_the_manifest_that_was_verified_is_replaced(manifests, expected, place):
    before, after = manifests
    record_object_manifest(place.address, before, after)
    place.assert_is(expected | {MANIFEST_NAME: encode_manifest(after)})
    with pytest.raises(OutputError, match="changed while it was read"):
        record_object_manifest(place.address, before, after)
    place.assert_is(expected | {MANIFEST_NAME: encode_manifest(after)})


def test_an_output_that_is_being_replaced_is_left_alone(manifests, plan, place):
    with ObjectCommitter(place.address, plan, OutputMode.OVERWRITE, pace=QUICK):
        with pytest.raises(OutputError, match="changed while it was read"):
            record_object_manifest(place.address, *manifests)
        assert MANIFEST_NAME not in place.tree()
