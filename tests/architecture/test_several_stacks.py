"""Models with several stacks, several prefixes, or more layers than they count; counts in odd places."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from distexpand.architecture.stacks.counts import COUNT_KEYS, with_decoder_count
from distexpand.architecture.stacks.stack import find_layer_stack, find_layer_stacks
from distexpand.errors import ArchitectureError

MTP = ["eh_proj.weight", "enorm.weight", "hnorm.weight", "mlp.w", "shared_head.norm.weight"]


def names(prefix, count, *suffixes):
    return [
        f"{prefix}{index}.{suffix}" for index in range(count) for suffix in suffixes or ("attn.w", "mlp.w")
    ]


def found(tensors, config, wanted=""):
    return find_layer_stack(tensors, config, origin="model", wanted=wanted)


LLAVA = [
    *names("vision_tower.vision_model.encoder.layers.", 4),
    *names("language_model.model.layers.", 4),
    "language_model.model.embed_tokens.weight",
]
LLAVA_CONFIG = {"vision_config": {"num_hidden_layers": 4}, "text_config": {"num_hidden_layers": 4}}
BART = [*names("model.encoder.layers.", 3), *names("model.decoder.layers.", 3)]


@pytest.mark.parametrize(
    ("tensors", "config", "wanted", "prefix", "path"),
    [
        (LLAVA, LLAVA_CONFIG, "", "language_model.model.layers.", "text_config.num_hidden_layers"),
        (
            LLAVA,
            LLAVA_CONFIG,
            "text_decoder",
            "language_model.model.layers.",
            "text_config.num_hidden_layers",
        ),
        *(
            (
                LLAVA,
                LLAVA_CONFIG,
                w,
                "vision_tower.vision_model.encoder.layers.",
                "vision_config.num_hidden_layers",
            )
            for w in (
                "vision_tower",
                "vision_model.encoder",
                "vision",
                "vision_tower.vision_model.encoder.layers.",
            )
        ),
        (BART, {"encoder_layers": 3, "decoder_layers": 3}, "", "model.decoder.layers.", "decoder_layers"),
        (
            BART,
            {"encoder_layers": 3, "decoder_layers": 3},
            "encoder",
            "model.encoder.layers.",
            "encoder_layers",
        ),
        (BART, {"num_layers": 3, "num_decoder_layers": 3}, "encoder", "model.encoder.layers.", "num_layers"),
        (
            [*names("thinker.model.layers.", 3), *names("talker.model.layers.", 3)],
            {
                "thinker_config": {"text_config": {"num_hidden_layers": 3}},
                "talker_config": {"num_hidden_layers": 3},
            },
            "",
            "thinker.model.layers.",
            "thinker_config.text_config.num_hidden_layers",
        ),
        (
            [*names("decoder.model.layers.", 3), *names("depth_decoder.model.layers.", 3)],
            {"num_hidden_layers": 3, "depth_decoder_config": {"num_hidden_layers": 3}},
            "",
            "decoder.model.layers.",
            "num_hidden_layers",
        ),
        (
            [*names("language_model.model.decoder.layers.", 3), *names("qformer.encoder.layer.", 3)],
            {"text_config": {"num_hidden_layers": 3}, "qformer_config": {"num_hidden_layers": 3}},
            "",
            "language_model.model.decoder.layers.",
            "text_config.num_hidden_layers",
        ),
        (
            names("vit.encoder.layer.", 3),
            {"num_hidden_layers": 3},
            "",
            "vit.encoder.layer.",
            "num_hidden_layers",
        ),
        (
            names("backbone.layers.", 3),
            {"layers_block_type": list("abc")},
            "",
            "backbone.layers.",
            "layers_block_type",
        ),
        (
            names("backbone.layers.", 3),
            {"hybrid_override_pattern": "M*-"},
            "",
            "backbone.layers.",
            "hybrid_override_pattern",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value else "",
)
def test_the_stack_that_is_meant(tensors, config, wanted, prefix, path):
    stack = found(tensors, config, wanted)
    assert (stack.prefix, ".".join(stack.count_path)) == (prefix, path)


@pytest.mark.parametrize("key", COUNT_KEYS)
def test_every_name_of_a_count(key):
    stack = found(names("model.blocks.", 5), {key: 5})
    assert (stack.num_layers, stack.count_path) == (5, (key,))


def test_a_stack_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(
        ArchitectureError, match=r"no stack of layers 'audio_tower'; it has language_model\.model\.layers, v"
    ):
        found(LLAVA, LLAVA_CONFIG, "audio_tower")


def test_two_stacks_of_one_rank_are_refused_and_named():
    tensors = [*names("left.layers.", 3), *names("right.layers.", 2)]
    with pytest.raises(
        ArchitectureError, match=r"several stacks of layers, left.layers. and right.layers."
    ) as error:
        found(tensors, {"left": {"num_layers": 3}, "right": {"num_layers": 2}})
    assert "stack: left.layers" in error.value.hint


def test_one_count_for_encoder_and_decoder_is_refused():
    with pytest.raises(
        ArchitectureError, match=r"'num_layers' counts the layers of both model\.decoder\.layers\."
    ):
        found(BART, {"num_layers": 3})


def test_the_count_of_t5s_decoder_follows_from_the_encoders():
    config = {"model_type": "t5", "num_layers": 3}
    assert with_decoder_count(config) == {**config, "num_decoder_layers": 3}
    assert with_decoder_count({**config, "num_decoder_layers": 2}) == {**config, "num_decoder_layers": 2}
    assert with_decoder_count({"model_type": "bart", "num_layers": 3}) == {
        "model_type": "bart",
        "num_layers": 3,
    }
    tensors = [*names("encoder.block.", 3), *names("decoder.block.", 3)]
    assert found(tensors, with_decoder_count(config)).count_path == ("num_decoder_layers",)


def test_the_decoders_count_leaves_the_encoders_alone():
    config = {"num_hidden_layers": 3, "encoder_layers": 3, "decoder_layers": 3}
    assert found(BART, config).count_paths == (("decoder_layers",),)
    assert set(found(BART, config, "encoder").count_paths) == {("encoder_layers",), ("num_hidden_layers",)}


def test_aliases_and_outer_levels_that_repeat_the_count():
    config = {"num_hidden_layers": 3, "text_config": {"num_hidden_layers": 3, "n_layer": 3, "depth": 4}}
    assert set(found(names("model.layers.", 3), config).count_paths) == {
        ("num_hidden_layers",),
        ("text_config", "num_hidden_layers"),
        ("text_config", "n_layer"),
    }


def test_a_towers_count_leaves_the_models_alone():
    config = {"num_hidden_layers": 4, **LLAVA_CONFIG}
    assert found(LLAVA, config, "vision_tower").count_paths == (("vision_config", "num_hidden_layers"),)


def test_layers_stored_under_several_prefixes_are_one_stack():
    prefixes = ["transformer.attentions.", "transformer.ffns.", "transformer.layer_norm1."]
    tensors = [name for prefix in prefixes for name in names(prefix, 4, "w", "b")]
    (stack,) = find_layer_stacks(tensors, {"n_layers": 4}, origin="model")
    assert {stack.prefix, *stack.companions} == set(prefixes)
    assert sorted(stack.name(*stack.split(name)) for name in tensors) == sorted(tensors)


def test_values_by_layer_beside_the_stack_go_with_their_layers():
    tensors = [*names("model.layers.", 5), *(f"model.layer_scalars.{index}" for index in range(5))]
    stack = found(tensors, {"num_hidden_layers": 5})
    assert (stack.prefix, stack.companions) == ("model.layers.", ("model.layer_scalars.",))
    assert stack.split("model.layer_scalars.3") == (3, "model.layer_scalars.*")
    assert stack.name(7, "model.layer_scalars.*") == "model.layer_scalars.7"


def test_a_run_that_is_one_off_is_unclear():
    tensors = [*names("model.layers.", 6), *(f"model.queries.{index}" for index in range(5))]
    assert found(tensors, {"num_hidden_layers": 6}).unclear == ("model.queries.",)


@pytest.mark.parametrize("said", [{}, {"num_nextn_predict_layers": 1}])
def test_layers_beyond_the_count(said):
    tensors = [*names("model.layers.", 3), *(f"model.layers.3.{suffix}" for suffix in MTP)]
    stack = found(tensors, {"num_hidden_layers": 3, **said})
    assert (stack.num_layers, stack.beyond) == (3, 1)
    assert stack.split("model.layers.3.enorm.weight") == (3, "enorm.weight")


def test_layers_beyond_the_count_that_look_like_others_need_the_config():
    assert (
        found(names("model.layers.", 5), {"num_hidden_layers": 3, "num_nextn_predict_layers": 2}).beyond == 2
    )
    with pytest.raises(ArchitectureError, match="no run of layers agrees"):
        found(names("model.layers.", 5), {"num_hidden_layers": 3})


def test_shared_weights_instead_of_layers_are_explained():
    with pytest.raises(ArchitectureError) as error:
        found(
            names("albert.encoder.albert_layer_groups.", 1), {"num_hidden_layers": 6, "num_hidden_groups": 1}
        )
    assert "share the weights" in error.value.hint


WORD = st.from_regex(r"[a-z]{1,6}(_[a-z]{1,4})?", fullmatch=True)
SUFFIX = st.lists(WORD | st.integers(0, 9).map(str), min_size=1, max_size=4).map(".".join)


@given(
    st.lists(WORD, max_size=3).map(lambda parts: "".join(f"{part}." for part in parts)),
    st.integers(1, 12),
    st.lists(SUFFIX, min_size=1, max_size=5, unique=True),
    st.lists(st.lists(WORD, min_size=1, max_size=3).map(".".join), max_size=4),
    st.integers(0, 3),
    WORD,
)
def test_any_prefix_and_any_experts(  # noqa: PLR0917  # hypothesis gives them by position
    parent, count, suffixes, outside, depth, level
):
    prefix = f"{parent}layers."
    config = {"num_hidden_layers": count}
    for _ in range(depth):
        config = {f"{level}_config": config}
    outside = [f"{name}.weight" for name in outside if not f"{name}.".startswith(prefix)]
    tensors = [*names(prefix, count, *suffixes), *outside]
    try:
        stack = found(tensors, config)
    except ArchitectureError:
        assume(False)  # two words that mean two parts of a model
    assert (stack.prefix, stack.num_layers, len(stack.count_path)) == (prefix, count, depth + 1)
    places = [stack.split(name) for name in tensors]
    assert [place for place in places if place] == [
        (index, suffix) for index in range(count) for suffix in suffixes
    ]
    assert all(place is None for place in places[count * len(suffixes) :])
