"""Identity blocks beside layers that read what others have computed: refused where they would be read."""

import pytest

from distexpand.architecture.config.remap import LayerConfig, remap_config
from distexpand.architecture.stacks.stack import LayerStack
from distexpand.errors import ArchitectureError

INDEX = {"model_type": "glm_moe_dsa", "indexer_types": ["full", "full", "shared", "shared", "full", "shared"]}
TAIL = {"model_type": "some", "num_kv_shared_layers": 2, "layer_types": ["s", "f", "s", "f", "s", "f"]}
SOURCES = {"model_type": "mistral_large4_text", "kv_source_layers": [0, 1, 1, 3, 4, 4]}
BY_FREQUENCY = {"model_type": "glm_moe_dsa", "index_topk_freq": 3}


def remapped(config, after):
    """Return the config with an identity copy after a layer."""
    config = {"num_hidden_layers": 6, **config}
    stack = LayerStack(prefix="model.layers.", num_layers=6, count_path=("num_hidden_layers",))
    order = [*range(after + 1), *range(after, 6)]
    layers = [
        LayerConfig(config=config, stack=stack, layer=layer, origin="m", identity=index == after + 1)
        for index, layer in enumerate(order)
    ]
    return remap_config(config, stack, layers).config


@pytest.mark.parametrize(
    ("config", "after", "read"),
    [
        (INDEX, 1, "output layer 3, a copy of layer 2, reads the index of it"),
        (INDEX, 4, "output layer 6, a copy of layer 5, reads the index of it"),
        (BY_FREQUENCY, 1, "output layer 3, a copy of layer 2, reads the index of it"),
        (TAIL, 2, "output layer 5, a copy of layer 4, reads keys and values of it"),
        (TAIL, 3, "output layer 6, a copy of layer 5, reads keys and values of it"),
        (SOURCES, 1, "output layer 3, a copy of layer 2, reads keys and values of it"),
    ],
    ids=str,
)
def test_an_identity_block_that_a_later_layer_reads_is_refused(config, after, read):
    with pytest.raises(ArchitectureError, match=f"layer {after + 1} can't be an identity block: {read}") as e:
        remapped(config, after)
    assert f"before layer {after}" in e.value.hint


@pytest.mark.parametrize(
    ("config", "after"),
    [
        *((INDEX, after) for after in (0, 2, 3, 5)),
        *((TAIL, after) for after in (0, 1, 4, 5)),
        *((SOURCES, after) for after in (0, 2, 3, 5)),
    ],
    ids=str,
)
def test_an_identity_block_that_no_later_layer_reads_is_none_to_refuse(config, after):
    assert remapped(config, after)["num_hidden_layers"] == 7
