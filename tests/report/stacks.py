"""Layer stacks to draw: published ones, and whatever hypothesis thinks of."""

from collections import Counter

from hypothesis import strategies as st

from distexpand.planning.model import LayerOrigin

GOLIATH = [
    ("Xin/Xwin-LM-70B-V0.1", 0, 16),
    ("Sao10K/Euryale-1.3-L2-70B", 8, 24),
    ("Xin/Xwin-LM-70B-V0.1", 17, 32),
    ("Sao10K/Euryale-1.3-L2-70B", 25, 40),
    ("Xin/Xwin-LM-70B-V0.1", 33, 48),
    ("Sao10K/Euryale-1.3-L2-70B", 41, 56),
    ("Xin/Xwin-LM-70B-V0.1", 49, 64),
    ("Sao10K/Euryale-1.3-L2-70B", 57, 72),
    ("Xin/Xwin-LM-70B-V0.1", 65, 80),
]
SOLAR = [("mistralai/Mistral-7B-v0.1", 0, 24), ("mistralai/Mistral-7B-v0.1", 8, 32)]
ZEROED = ("zero: o_proj, down_proj",)


def stack(slices):
    """Layers of (model, first, stop) slices, copies counted."""
    seen = Counter()
    origins = []
    for model, first, stop in slices:
        for layer in range(first, stop):
            origins.append(origin(model, layer, copy=seen[model, layer]))
            seen[model, layer] += 1
    return tuple(origins)


def origin(model, layer, *, copy=0, identity=False, transforms=(), others=(), kind=""):
    return LayerOrigin(
        model=model,
        layer=layer,
        others=others,
        copy=copy,
        identity=identity,
        new=identity or copy > 0,
        transforms=transforms,
        kind=kind,
    )


def interleaved(model, depth, blocks):
    """LLaMA-Pro: identity blocks spread evenly over the source's layers."""
    after = {depth * (block + 1) // blocks - 1 for block in range(blocks)}
    origins = []
    for layer in range(depth):
        origins.append(origin(model, layer))
        if layer in after:
            origins.append(origin(model, layer, copy=1, identity=True, transforms=ZEROED))
    return tuple(origins)


def tall():
    """525 layers: one source of 126 layers in overlapping slices."""
    slices = [("meta-llama/Llama-3.1-405B", s, s + 25) for s in range(0, 101, 5)]
    return stack(slices)


def names():
    return st.text(min_size=1, max_size=120)


def origins():
    """Any origin, few distinct values so that runs form."""
    return st.builds(
        LayerOrigin,
        model=st.sampled_from(["a", "b/c", "x:y", "`|`\n---"]),
        layer=st.integers(0, 6),
        others=st.sampled_from([(), ("a:1",), ("a:2",), ("b/c:0", "x:y:3")]),
        copy=st.integers(0, 2),
        identity=st.booleans(),
        new=st.booleans(),
        transforms=st.sampled_from(
            [(), ("scale q by 0.5",), ("scale q by 0.7",), ("cast", "scale q by 0.5")]
        ),
        kind=st.sampled_from(["", "full_attention", "sliding_attention"]),
    )


def stacks():
    """Stacks of any origins, and of slices."""
    slices = st.tuples(st.sampled_from(["a", "b/c"]), st.integers(0, 90), st.integers(1, 40))
    sliced = st.lists(slices, min_size=1, max_size=12).map(
        lambda parts: stack([(model, first, first + count) for model, first, count in parts])
    )
    return st.one_of(st.lists(origins(), min_size=1, max_size=60).map(tuple), sliced)
