"""A digest that one tensor has is that of every tensor of the same bytes, and of no other."""

from dataclasses import replace

import pytest

from distexpand.api import run_plan
from distexpand.commit.known_digests import with_known_digests
from distexpand.commit.manifest import MANIFEST_NAME, decode_manifest
from distexpand.engine.receipt import Receipt
from tests.api.small import BLOCKS, COPIES, small_plan

SCALED = """
slices:
  - sources: [{model: a, layer_range: [0, 4], parameters: {scale: 0.5}}]
  - sources: [{model: a, layer_range: [1, 3], parameters: {scale: 0.5}}]
  - sources: [{model: a, layer_range: [1, 3], parameters: {scale: 0.25}}]
merge_method: passthrough
"""


@pytest.fixture(params=[COPIES, BLOCKS, SCALED], ids=["copies", "blocks", "scaled"])
def made(request, model, tmp_path):
    """Return a plan and the receipts of its run."""
    plan = small_plan(request.param, model)
    run_plan(plan, tmp_path / "out")
    manifest = decode_manifest((tmp_path / "out" / MANIFEST_NAME).read_bytes(), origin="m")
    receipts = {
        shard.name: Receipt(
            shard=shard.name,
            attempt="a",
            size=shard.size,
            digest=shard.digest,
            tensors=tuple(shard.tensors.items()),
            seconds=0.0,
        )
        for shard in manifest.shards
    }
    return plan, receipts


def _without(receipts, lacking):
    """Return receipts without the digests for which `lacking`, called for each in order, says so."""
    return {
        name: replace(
            receipt,
            digest="0" * 32,
            tensors=tuple((tensor, "" if lacking(digest) else digest) for tensor, digest in receipt.tensors),
        )
        for name, receipt in receipts.items()
    }


def test_duplicates_have_the_first_one_s_digest(made):
    plan, receipts = made
    seen = set()

    def is_again(digest):
        again = digest in seen
        seen.add(digest)
        return again

    lacking = _without(receipts, is_again)
    assert sum(not digest for receipt in lacking.values() for _, digest in receipt.tensors) > 5
    assert with_known_digests(plan, lacking) == {
        name: receipts[name] if "" in dict(lacking[name].tensors).values() else lacking[name]
        for name in receipts
    }


def test_what_no_other_has_stays_unknown(made):
    plan, receipts = made
    gone = next(iter(receipts[plan.shards[0].name].tensors))[1]
    filled = with_known_digests(plan, _without(receipts, lambda digest: digest == gone))
    tensors = [tensor for receipt in receipts.values() for tensor in receipt.tensors]
    unknown = {name for receipt in filled.values() for name, digest in receipt.tensors if not digest}
    assert unknown == {name for name, digest in tensors if digest == gone}


def test_receipts_that_lack_nothing_are_left_alone(made):
    plan, receipts = made
    assert with_known_digests(plan, receipts) == receipts
