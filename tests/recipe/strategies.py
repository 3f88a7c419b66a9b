"""Random recipes of every dialect, as data that YAML and JSON can hold."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

LAYERS = 6

# A busy machine is no failure.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

filters = st.sampled_from(["o_proj", "down_proj", "self_attn", "q_proj", "mlp", "*", "", "embed", "norm"])
numbers = st.one_of(
    st.floats(-4, 4, allow_nan=False), st.integers(-3, 3), st.sampled_from(["1e-3", "0.5", "2", 1e-7, 1e300])
)
gradients = st.lists(numbers, min_size=1, max_size=4)
names = st.one_of(
    st.sampled_from(["org/a", "org/b", "org/a@main", "./local path/ü", "123", "null", "C:\\x"]),
    st.builds(
        lambda path, revision: {"model": {"path": path, "revision": revision}},
        st.sampled_from(["org/a", "a+b", "a@b", "base", "model:x"]),
        st.sampled_from([None, "main", "a@b"]),
    ),
)
adapted = st.one_of(
    st.sampled_from(["org/a+org/lora", "org/a@main+org/lora@1", "./local path/ü+x"]),
    st.builds(
        lambda path, lora: {"model": {"path": path}, "lora": lora},
        st.sampled_from(["org/a", "a+b", "base"]),
        st.sampled_from(["org/lora", {"path": "a+b@c", "revision": "main"}, "org/lora@x"]),
    ),
)
ranges = st.tuples(st.integers(0, LAYERS - 1), st.integers(1, LAYERS)).map(
    lambda pair: [min(pair[0], pair[1] - 1), max(pair[0] + 1, pair[1])]
)


def conditions(*, complete: bool):
    """Conditional settings; `complete` ones say something of every tensor."""
    value = st.one_of(numbers, gradients)
    condition = st.fixed_dictionaries({"value": value}, optional={"filter": filters})
    listed = st.lists(condition, min_size=1, max_size=3)
    if not complete:
        return st.one_of(condition, listed, st.just([]))
    return st.builds(lambda some, last: [*some, {"value": last}], listed, value)


def parameter_values(*, complete: bool):
    """Anything a parameter may be set to."""
    return st.one_of(numbers, gradients, conditions(complete=complete))


scales = st.fixed_dictionaries({}, optional={"scale": parameter_values(complete=False)})
weights = st.fixed_dictionaries({}, optional={"weight": parameter_values(complete=False)})
tops = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["float16", "torch.bfloat16", None]),
        "out_dtype": st.sampled_from(["float32", "bfloat16"]),
        "base_model": names,
        "tokenizer_source": st.one_of(st.sampled_from(["base", "model:org/c"]), names),
    },
)


@st.composite
def adapted_sources(draw):
    """Sources with an adapter, its layers under the model's numbers or others."""
    start, end = draw(ranges)
    source = {"model": draw(adapted), "layer_range": [start, end]}
    if draw(st.booleans()):
        first = draw(st.integers(0, 9))
        source["adapter_range"] = [first, first + end - start]
    return source


@st.composite
def passthrough_documents(draw):
    """Passthrough configs with every key there is."""
    source = st.fixed_dictionaries(
        {"model": names, "layer_range": ranges},
        optional={"parameters": scales, "identity": st.booleans()},
    )
    source = st.one_of(source, adapted_sources())
    entry = st.fixed_dictionaries(
        {"sources": st.lists(source, min_size=1, max_size=1)},
        optional={"parameters": scales, "repeat": st.integers(1, 3)},
    )
    outside = st.fixed_dictionaries(
        {
            "sources": st.lists(
                st.fixed_dictionaries({"model": st.one_of(names, adapted)}, optional={"parameters": scales}),
                min_size=1,
                max_size=1,
            )
        }
    )
    document = {"slices": draw(st.lists(entry, min_size=1, max_size=4)), "merge_method": "passthrough"}
    extras = st.fixed_dictionaries(
        {}, optional={"parameters": scales, "embeddings": outside, "head": outside}
    )
    return document | draw(tops) | draw(extras)


@st.composite
def linear_documents(draw):
    """Linear configs; a weight for everything stands at the top."""
    slices = []
    for _ in range(draw(st.integers(1, 3))):
        start, end = draw(ranges)
        length = end - start
        starts = draw(st.lists(st.integers(0, LAYERS - length), min_size=1, max_size=3))
        sources = [
            {
                "model": draw(st.one_of(names, adapted)),
                "layer_range": [start, start + length],
                "parameters": draw(weights),
            }
            for start in starts
        ]
        normalize = draw(st.fixed_dictionaries({}, optional={"normalize": st.booleans()}))
        slices.append({"sources": sources, "parameters": normalize | draw(weights)})
    top = {
        "weight": draw(parameter_values(complete=True).filter(lambda s: s != [])),
        "normalize": draw(st.booleans()),
    }
    return {"slices": slices, "merge_method": "linear", "parameters": top} | draw(tops)


attenuations = st.one_of(
    st.lists(
        st.fixed_dictionaries(
            {"filter": st.sampled_from(["q_proj", "k_proj"]), "value": st.floats(0.1, 0.9)}
        ),
        min_size=1,
        max_size=2,
    ),
    st.dictionaries(st.sampled_from(["q_proj", "k_proj"]), st.floats(0.1, 0.9), min_size=1),
)


@st.composite
def shorthand_documents(draw):
    """Every shorthand."""
    start, end = draw(ranges)
    form = draw(
        st.sampled_from(
            [
                {"block_expansion": {"blocks": draw(st.integers(1, LAYERS)), "where": "interleaved"}},
                {"block_expansion": {"blocks": draw(st.integers(1, 9)), "where": "end"}},
                {
                    "block_expansion": {
                        "after": draw(st.lists(st.integers(0, LAYERS - 1), min_size=1, unique=True))
                    }
                },
                {"depth_up_scaling": {"cut": draw(st.integers(0, LAYERS - 1))}},
                {"repeat": {"layer_range": [start, end], "times": draw(st.integers(1, 4))}},
                {"layer_map": draw(st.lists(ranges, min_size=1, max_size=4))},
            ]
        )
    )
    extras = st.fixed_dictionaries(
        {},
        optional={
            "attenuate_duplicates": attenuations,
            "dtype": st.just("bfloat16"),
            "out_dtype": st.just("float16"),
        },
    )
    return {"model": draw(st.one_of(names, adapted))} | form | draw(extras)


documents = st.one_of(passthrough_documents(), linear_documents(), shorthand_documents())
