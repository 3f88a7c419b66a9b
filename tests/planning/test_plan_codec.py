"""Plans as bytes: what is encoded is decoded, and whatever else is decoded is refused in words."""

import json
from dataclasses import replace

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from distexpand.errors import UsageError
from distexpand.formats.dtypes import DType
from distexpand.formats.index import INDEX_NAME
from distexpand.planning.codec import plans as codec
from distexpand.planning.codec.plans import decode_plan, encode_plan, plan_digest
from distexpand.planning.model import CopiedFile, Plan, SourceFile, TextFile
from distexpand.planning.operations import Blend, Scale
from tests.planning.catalogs import built, catalog_model, models_of, recipe_over

EVERY_OPERATION = """
slices:
  - sources: [{model: a, layer_range: [0, 3], parameters: {scale: [{filter: up, value: 0.25}, {value: 1}]}}]
  - sources: [{model: b, layer_range: [3, 4], identity: true}]
merge_method: passthrough
"""


def sample_plan(root: str = "/models") -> Plan:
    models = models_of(catalog_model("a", dtype=DType.F32), catalog_model("b", dtype=DType.F32))
    plan = _blended(built(EVERY_OPERATION, models, shard_size=1500, root=root).plan)
    card = TextFile(name="README.md", text="ü 漢 \u2028 \0 line\n")
    tokenizer = SourceFile(model="a", path="additional_chat_templates/ü.jinja", size=3, pin="x")
    return replace(
        plan,
        texts=(*plan.texts, card),
        sources=(*plan.sources, tokenizer),
        copies=(CopiedFile(name="additional_chat_templates/ü.jinja", source=len(plan.sources)),),
    )


def _blended(plan: Plan) -> Plan:
    """Return the plan with every other scale made a blend."""
    shards = []
    count = 0
    for shard in plan.shards:
        operations = []
        for operation in shard.operations:
            count += isinstance(operation, Scale)
            operations.append(_blend(operation) if isinstance(operation, Scale) and count % 2 else operation)
        shards.append(replace(shard, operations=tuple(operations)))
    return replace(plan, shards=tuple(shards))


def _blend(scale: Scale) -> Blend:
    return Blend(
        offset=scale.offset,
        length=scale.length,
        terms=(scale.term, scale.term),
        weights=(0.1, -2.0),
        normalize=True,
        compute=scale.compute,
        target=scale.target,
    )


def test_the_sample_has_every_operation() -> None:
    kinds = {type(operation).__name__ for shard in sample_plan().shards for operation in shard.operations}
    assert kinds == {"Copy", "Zero", "Scale", "Blend"}


def test_round_trip_and_compression(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = sample_plan()
    plain = encode_plan(plan)
    assert decode_plan(plain, origin="p") == plan
    monkeypatch.setattr(codec, "COMPRESS_FROM", 10)
    compressed = encode_plan(plan)
    assert len(compressed) < len(plain) / 3
    assert decode_plan(compressed, origin="p") == plan
    assert encode_plan(decode_plan(compressed, origin="p")) == compressed


def test_digest_is_independent_of_locations_and_of_nothing_else() -> None:
    plan = sample_plan()
    assert plan_digest(sample_plan("/elsewhere")) == plan_digest(plan)
    assert encode_plan(sample_plan("/elsewhere")) != encode_plan(plan)
    assert plan_digest(replace(plan, recipe=plan.recipe + "\n")) != plan_digest(plan)
    changed = replace(plan, sources=(replace(plan.sources[0], pin="other"), *plan.sources[1:]))
    assert plan_digest(changed) != plan_digest(plan)


def _decoded_or_refused(raw: bytes) -> Plan | None:
    try:
        return decode_plan(raw, origin="p")
    except UsageError as error:
        assert error.message.startswith(("p: ", "plan: "))  # noqa: PT017
        return None


@given(st.binary(max_size=300))
@example(b"")
@example(b"{}")
@example(b"[1]")
@example(b"\x28\xb5\x2f\xfd")
@example(b'{"format_version":' + b"[" * 100_000)
def test_garbage_is_refused(raw: bytes) -> None:
    assert _decoded_or_refused(raw) is None


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_truncated_plans_are_refused(data: st.DataObject) -> None:
    for raw in _SAMPLES:
        assert _decoded_or_refused(raw[: data.draw(st.integers(0, len(raw) - 1))]) is None
        assert _decoded_or_refused(raw + b"x") is None


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_flipped_bits_are_refused_or_give_another_valid_plan(data: st.DataObject) -> None:
    for raw in _SAMPLES:
        flipped = bytearray(raw)
        flipped[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        decoded = _decoded_or_refused(bytes(flipped))
        if decoded is not None:
            assert decode_plan(encode_plan(decoded), origin="p") == decoded


_PLAIN = encode_plan(sample_plan())
_SAMPLES = (_PLAIN, zstandard.ZstdCompressor(level=3).compress(_PLAIN))
_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**30),
    st.floats(),
    st.text(max_size=3),
    st.just([]),
    st.just({}),
)


@given(st.data(), _VALUES)
@settings(deadline=None, max_examples=400)
def test_any_value_in_any_place_is_refused_in_words(data: st.DataObject, value: object) -> None:
    document = json.loads(_PLAIN)
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(list(keys)))
        if not place[key] or not isinstance(place[key], dict | list) or data.draw(st.integers(0, 3)) == 0:
            break
        place = place[key]
    place[key] = value
    raw = json.dumps(document).encode()
    decoded = _decoded_or_refused(raw)
    if decoded is not None:
        assert decode_plan(encode_plan(decoded), origin="p") == decoded


def test_a_length_that_nobody_could_hold_is_refused_before_it_is_allocated() -> None:
    frame = bytearray(zstandard.ZstdCompressor().compress(_PLAIN))
    parameters = zstandard.get_frame_parameters(bytes(frame))
    assert parameters.content_size == len(_PLAIN)
    # Frame header descriptor: content size in 8 bytes, single segment; then the size.
    absurd = b"\x28\xb5\x2f\xfd\xe0" + (2**50).to_bytes(8, "little") + bytes(frame[-20:])
    with pytest.raises(UsageError, match="claims to hold"):
        decode_plan(absurd, origin="p")
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(_PLAIN)
    with pytest.raises(UsageError, match="damaged plan"):
        decode_plan(unsized, origin="p")


def test_a_number_beyond_every_float_is_refused() -> None:
    document = json.loads(_PLAIN)
    scale = next(o for shard in document["shards"] for o in shard["operations"] if o[0] == "scale")
    scale[4] = 10**400
    with pytest.raises(UsageError, match="damaged plan"):
        decode_plan(json.dumps(document).encode(), origin="p")


def test_another_version_says_what_to_do() -> None:
    raw = _PLAIN.replace(b'"format_version":1', b'"format_version":2')
    with pytest.raises(UsageError) as caught:
        decode_plan(raw, origin="p")
    assert "Make the plan again" in caught.value.hint


def test_the_index_is_not_part_of_the_plan() -> None:
    plan = sample_plan()
    assert INDEX_NAME not in {text.name for text in plan.texts}
    models = models_of(catalog_model("a"), catalog_model("b"))
    assert recipe_over(plan.recipe, models) == recipe_over(EVERY_OPERATION, models)
