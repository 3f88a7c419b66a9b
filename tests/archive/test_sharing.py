"""In the plain form equal layers take no space twice, where files can share blocks."""

import pytest

from distexpand.formats.archive_index import Form
from distexpand.formats.dtypes import DType
from distexpand.formats.header import encode_header
from tests.api.small import tree
from tests.storage.contract import noise
from tests.support.archives import packed, unpacked, written
from tests.support.mounts import shares_blocks, used_bytes

LAYER = 4_000_000


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Two shards with six layers, of which two are different."""
    tensors = [(f"model.layers.{layer}.w", DType.BF16, (LAYER // 2,)) for layer in range(3)]
    shard = encode_header(tensors, {}) + noise(LAYER) + noise(LAYER, 1) + noise(LAYER)
    files = {"model-1.safetensors": shard, "model-2.safetensors": shard[:-5] + b"other"}
    return written(tmp_path_factory.mktemp("model"), files)


def test_equal_layers_share_blocks(cloning_place, model, tmp_path):
    assert shares_blocks(cloning_place)
    before = used_bytes(cloning_place)
    report = packed(model, cloning_place / "archive")
    taken = used_bytes(cloning_place) - before
    assert 3 * LAYER <= report.repeated < 3.01 * LAYER
    assert report.shared > 2.99 * LAYER
    assert report.packed_size > 5.9 * LAYER
    assert taken < report.packed_size - report.shared + 0.3 * LAYER
    packed(model, tmp_path / "archive")
    assert tree(tmp_path / "archive") == tree(cloning_place / "archive")


@pytest.mark.parametrize("form", Form)
def test_what_shares_blocks_is_unpacked(cloning_place, model, form):
    packed(model, cloning_place / "archive", form)
    unpacked(cloning_place / "archive", cloning_place / "out")
    assert tree(cloning_place / "out") == tree(model)
