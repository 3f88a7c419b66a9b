"""Invariant 1: each output byte has exactly one origin, inside its tensor; whatever breaks it is refused."""

import random
from dataclasses import replace

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from distexpand.errors import DistexpandError, RecipeError, UsageError
from distexpand.formats.dtypes import DType
from distexpand.planning.adapters.adapter import Adapter
from distexpand.planning.check import check_plan, shard_header
from distexpand.planning.codec.plans import plan_digest
from distexpand.planning.model import Plan
from distexpand.planning.operations import AddLowRank, Blend, Copy, Operation, Scale, Zero, source_terms
from distexpand.recipe.canonical import ModelRef, Recipe
from distexpand.recipe.lower import lower
from distexpand.recipe.parse import parse_recipe
from tests.planning.adapters import catalog_adapter, lora
from tests.planning.catalogs import HIDDEN, INNER, built, catalog_model, models_of
from tests.recipe.strategies import LAYERS, documents

dtypes = st.sampled_from([DType.F16, DType.BF16, DType.F32, DType.F64])


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Plans of random recipes over random catalogs, packed at random."""
    document = draw(documents)
    try:
        draft = parse_recipe(yaml.safe_dump(document, sort_keys=False), origin="recipe.yml")
        recipe = lower(draft, dict.fromkeys(draft.models, LAYERS))
    except RecipeError:
        assume(False)
    sources = [
        catalog_model(
            str(ref),
            num_layers=LAYERS,
            dtype=draw(dtypes),
            dtypes=draw(st.dictionaries(st.sampled_from(["norm.weight", "q_proj.weight"]), dtypes)),
            file_bytes=draw(st.sampled_from([200, 10_000])),
        )
        for ref in recipe.models()
    ]
    by_ref = {ref: replace(model, model=ref) for ref, model in zip(recipe.models(), sources, strict=True)}
    adapters = {ref: draw(adapters_for(recipe, ref)) for ref in recipe.adapters()}
    try:
        return built(recipe, by_ref, shard_size=draw(st.integers(1, 3000)), adapters=adapters).plan
    except RecipeError:
        assume(False)


@st.composite
def adapters_for(draw: st.DrawFn, recipe: Recipe, adapter: ModelRef) -> Adapter:
    """Adapters that were trained on the layers that a recipe uses them for, where that can be."""
    sources = [source for part in recipe.layers for source in part.sources if source.adapter == adapter]
    trained_on = {source.adapter_layer or 0: source.layer or 0 for source in sources}
    layers = [trained_on.get(layer, 0) for layer in range(max(trained_on, default=0) + 1)]
    dora = draw(st.booleans())
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(len(layers)):
        prefix = f"model.layers.{layer}."
        shapes |= lora(f"{prefix}mlp.down_proj", HIDDEN, INNER)
        shapes |= {f"{prefix}mlp.down_proj.lora_magnitude_vector": (HIDDEN,)} if dora else {}
        shapes |= {f"{prefix}input_layernorm.weight": (HIDDEN,)}
    replication = [[layer, layer + 1] for layer in layers]
    found = catalog_adapter(shapes, name=str(adapter), layer_replication=replication, use_dora=dora)
    return replace(found, adapter=adapter)


generous = settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@given(plans())
@generous
def test_every_plan_covers_each_byte_once_and_reads_inside_one_source_tensor(plan: Plan) -> None:
    check_plan(plan)
    ranges: dict[int, set[tuple[int, int]]] = {}
    for shard in plan.shards:
        written = bytearray(shard.size)
        written[: len(shard.header)] = b"\1" * len(shard.header)
        for operation in shard.operations:
            for index in range(operation.offset, operation.offset + operation.length):
                written[index] += 1
            for source, offset, length in source_terms(operation):
                assert offset >= 100
                ranges.setdefault(source, set()).add((offset, offset + length))
        assert set(written) == {1}
    # A range across two tensors would have another one's start inside it.
    for found in ranges.values():
        assert not any(begin < other < end for begin, end in found for other, _ in found)


@given(plans(), st.randoms(use_true_random=False))
@generous
def test_any_mutation_of_an_operation_is_refused_or_another_plan(plan: Plan, chance: random.Random) -> None:
    position = chance.randrange(len(plan.shards))
    shard = plan.shards[position]
    index = chance.randrange(len(shard.operations))
    for changed, must_fail in _mutations(shard.operations, index, plan, chance):
        shards = (*plan.shards[:position], replace(shard, operations=changed), *plan.shards[position + 1 :])
        mutated = replace(plan, shards=shards)
        if must_fail:
            with pytest.raises(UsageError, match="plan: "):
                check_plan(mutated)
        else:
            assert plan_digest(mutated) != plan_digest(plan)


def _mutations(operations: tuple[Operation, ...], index: int, plan: Plan, chance: random.Random):
    """Yield changed operations and whether the plan alone shows that they are wrong."""
    operation = operations[index]
    before, after = operations[:index], operations[index + 1 :]
    step = chance.choice([1, 2, 8, 1000])
    yield (*before, *after), True
    yield (*before, operation, operation, *after), True
    if after:
        yield (*before, after[0], operation, *after[1:]), True
    for change in (
        {"offset": operation.offset + step},
        {"offset": operation.offset - step},
        {"length": operation.length + step},
        {"length": operation.length - step},
        {"length": 0},
        {"length": -operation.length},
    ):
        yield (*before, replace(operation, **change), *after), True
    for wrong, must_fail in _source_mutations(operation, plan):
        yield (*before, wrong, *after), must_fail


def _source_mutations(operation: Operation, plan: Plan):
    count = len(plan.sources)
    match operation:
        case Zero():
            return
        case Copy():
            size = plan.sources[operation.source].size
            yield replace(operation, source=count), True
            yield replace(operation, source=-1), True
            yield replace(operation, source_offset=-1), True
            yield replace(operation, source_offset=size - operation.length + 1), True
            yield replace(operation, source_offset=operation.source_offset - 1), False
        case Scale():
            size = plan.sources[operation.term.source].size
            yield replace(operation, term=replace(operation.term, source=count)), True
            yield replace(operation, term=replace(operation.term, source_offset=size)), True
            yield replace(operation, term=replace(operation.term, dtype=DType.U8)), True
            yield replace(operation, factor=operation.factor * 0.5), False
            yield replace(operation, compute=DType.F8_E4M3), True
            yield from ((replace(operation, target=d), True) for d in DType if d != operation.target)
        case Blend():
            yield replace(operation, terms=()), True
            yield replace(operation, weights=operation.weights[1:]), True
            yield replace(operation, terms=operation.terms * 2), True
            yield replace(operation, normalize=not operation.normalize), False
            yield from ((replace(operation, target=d), True) for d in DType if d != operation.target)
        case AddLowRank():
            yield replace(operation, rank=0), True
            yield replace(operation, rows=operation.rows - 1), True
            yield replace(operation, b=replace(operation.b, source=count)), True
            yield replace(operation, a=replace(operation.a, dtype=DType.F64)), True
            yield replace(operation, transposed=True, magnitude=operation.a), True
            yield replace(operation, scaling=operation.scaling * 0.5), False
            yield from ((replace(operation, target=d), True) for d in DType if d != operation.target)


def test_hand_made_breaches_are_named() -> None:
    model = catalog_model("a")
    plan = built("{model: a, block_expansion: {blocks: 2, where: end}}", models_of(model)).plan
    (shard,) = plan.shards
    texts = plan.texts
    for broken, message in [
        (replace(plan, texts=(*texts, *texts)), "same name"),
        (replace(plan, texts=(replace(texts[0], name="../config.json"),)), "not a plain relative path"),
        (replace(plan, texts=(replace(texts[0], name="/etc/x"),)), "not a plain relative path"),
        (replace(plan, texts=(replace(texts[0], name=".distexpand"),)), "not a plain relative path"),
        (replace(plan, shards=(shard, replace(shard, name="b.safetensors"))), "another shard as well"),
        (replace(plan, shards=(replace(shard, size=shard.size + 1),)), "after the last tensor"),
        (replace(plan, shards=(replace(shard, header=shard.header[:-1]),)), "header length"),
        (replace(plan, locations=()), "where the model a lies"),
        (replace(plan, sources=(replace(plan.sources[0], path="../x"),)), "not a plain relative path"),
    ]:
        with pytest.raises(UsageError, match=message):
            check_plan(broken)


def test_a_shard_without_data_needs_no_operation() -> None:
    model = catalog_model("a", layer={"mlp.down_proj.weight": (0, 4), "self_attn.o_proj.weight": (4, 0)})
    plan = built("{model: a, layer_map: [[0, 4], [2, 4]]}", models_of(model), shard_size=1).plan
    check_plan(plan)
    empty = [t for shard in plan.shards for t in shard_header(shard).tensors.values() if not t.length]
    assert len(empty) == 12
    invented = replace(plan.shards[0], operations=(*plan.shards[0].operations, Zero(offset=1, length=1)))
    with pytest.raises(DistexpandError):
        check_plan(replace(plan, shards=(invented, *plan.shards[1:])))
