"""Runs from a bucket to the same store: what the store copies itself, and what no message may say."""

from pathlib import Path

import pytest

from distexpand.api import plan_expansion, run_plan, verify_output
from distexpand.commit.committer import OutputMode
from distexpand.commit.manifest import MANIFEST_NAME, decode_manifest
from distexpand.commit.objects.cleaning import clean_object_output
from distexpand.errors import DistexpandError
from distexpand.storage.address import Address
from tests.api.small import COPIES, tree
from tests.commit.store_places import Place
from tests.commit.store_runs import QUICK, run_to_store
from tests.support.fault_proxy import fault_proxy
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint
from tests.support.store_environment import set_store_environment


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model whose layers have 16 MB each, in two files."""
    directory = tmp_path_factory.mktemp("wide") / "a"
    sizes = {"hidden_size": 1024, "intermediate_size": 1536, "vocab_size": 64}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    shape = family("llama2-7b", num_layers=4, dtype="BF16", **sizes, **heads)
    write_checkpoint(directory, shape, fill="random", seed=1, shard_size=40_000_000)
    return directory


def _plan(location):
    return plan_expansion(COPIES, origin="r", places={"a": str(location)}, shard_size=60_000_000).plan


def test_of_what_the_store_copies_nothing_passes_here(wide_model, seaweedfs, bucket, monkeypatch, tmp_path):
    local = _plan(wide_model)
    run_plan(local, tmp_path / "out")
    expected = tree(tmp_path / "out")
    seaweedfs.put(bucket, {f"models/a/{name}": raw for name, raw in tree(wide_model).items()})
    place = Place(Address(scheme="s3", root=seaweedfs.new_bucket(), path="out"), seaweedfs)
    with fault_proxy(seaweedfs.endpoint) as proxy:
        set_store_environment(monkeypatch, seaweedfs.environment(proxy.endpoint))
        plan = _plan(f"s3://{bucket}/models/a")
        run_to_store(plan, place.address, shares=True)
        traffic = proxy.traffic
        size = sum(shard.size for shard in plan.shards)
        assert max(traffic.to_client, traffic.to_server) < 0.6 * size  # the ends of runs of 16 to 40 MB
        assert verify_output(place.address, sources=True, places={"a": str(wide_model)}).ok
    found = place.tree()
    manifest = decode_manifest(found.pop(MANIFEST_NAME), origin="m")
    assert any(not digest for shard in manifest.shards for digest in shard.tensors.values())
    assert {name: found[name] == expected[name] for name in found} == dict.fromkeys(found, True)
    assert {*found, MANIFEST_NAME} == expected.keys()
    assert place.uploads() == []


def test_duplicates_are_sent_once_and_all_digests_known(wide_model, seaweedfs, bucket, monkeypatch, tmp_path):
    recipe = "{model: a, layer_map: [[0, 3], [0, 3]]}"
    places = {"a": str(wide_model)}
    plan = plan_expansion(recipe, origin="r", places=places, shard_size=50_000_000).plan
    run_plan(plan, tmp_path / "out")
    place = Place(Address(scheme="s3", root=bucket, path="out"), seaweedfs)
    with fault_proxy(seaweedfs.endpoint) as proxy:
        set_store_environment(monkeypatch, seaweedfs.environment(proxy.endpoint))
        run_to_store(plan, place.address, shares=True)
        assert proxy.traffic.to_server < 0.8 * sum(shard.size for shard in plan.shards)
    place.assert_is(tree(tmp_path / "out"))


@pytest.mark.parametrize("kind", ["s3", "az"])
def test_no_message_holds_a_secret(request, plan, kind, monkeypatch):
    server = request.getfixturevalue("seaweedfs" if kind == "s3" else "azurite")
    request.getfixturevalue("bucket" if kind == "s3" else "container")
    root = server.new_bucket() if kind == "s3" else server.new_container()
    secret = "c2VjcmV0LXRoYXQtaXMtd3Jvbmc="
    name = "AWS_SECRET_ACCESS_KEY" if kind == "s3" else "AZURE_STORAGE_ACCOUNT_KEY"
    address = Address(scheme=kind, root=root, path="out")
    monkeypatch.setenv(name, secret)
    actions = [
        *(lambda mode=mode: run_to_store(plan, address, mode=mode, pace=QUICK) for mode in OutputMode),
        lambda: clean_object_output(address, pace=QUICK),
    ]
    for action in actions:
        with pytest.raises(DistexpandError) as caught:
            action()
        words = f"{caught.value.message} {caught.value.hint} {caught.value!r}"
        assert str(address) in words
        assert not any(word in words for word in (secret, "ignature=", "sig=", "known-to"))
