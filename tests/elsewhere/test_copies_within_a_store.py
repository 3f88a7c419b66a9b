"""From S3 to the same S3 the store itself copies: what it copied is read only to be verified."""

from pathlib import Path

import pytest

from distexpand.api import plan_expansion, run_plan, verify_output
from distexpand.verifying.structure import read_manifest
from tests.api.small import tree
from tests.elsewhere.places import Buckets, same_files
from tests.elsewhere.runs import output_at
from tests.support.fault_proxy import fault_proxy
from tests.support.seaweedfs import SeaweedFS
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint
from tests.support.store_environment import set_store_environment

RECIPE = "{model: base, layer_map: [[0, 2], [1, 2]]}"
SIZES = {"hidden_size": 1024, "intermediate_size": 4096, "vocab_size": 64, "num_layers": 2}


def test_next_to_nothing_passes_this_machine(
    seaweedfs: SeaweedFS, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_checkpoint(tmp_path / "base", family("llama2-7b", **SIZES), fill="random", seed=1)
    place = Buckets(scheme="s3", server=seaweedfs, root=bucket)
    put = place.put("base", tree(model))

    def planned(base: str):
        return plan_expansion(RECIPE, origin="r", places={"base": base}, shard_size=10**9).plan

    run_plan(planned(str(model)), tmp_path / "expected", clone=False)
    size = sum(shard.size for shard in planned(put).shards)
    output = output_at(place.new("out"))
    with fault_proxy(seaweedfs.endpoint) as proxy:
        set_store_environment(monkeypatch, seaweedfs.environment(proxy.endpoint))
        run_plan(planned(put), output)
        assert proxy.traffic.to_client + proxy.traffic.to_server < size / 2
    set_store_environment(monkeypatch, seaweedfs.environment())
    found = place.get("out")
    weights = [name for name in found if name.endswith(".safetensors")]
    assert all(found[name] == (tmp_path / "expected" / name).read_bytes() for name in weights)
    assert "" in {digest for shard in read_manifest(output).shards for digest in shard.tensors.values()}
    assert verify_output(output, sources=True, record=True, places={"base": put}).ok
    assert same_files(place.get("out"), tree(tmp_path / "expected"))
