"""Runs by source: the tensors of the usual layout, and no source byte read twice, as counted."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.api import plan_expansion, run_plan, verify_output
from distexpand.commit.committer import OutputMode
from distexpand.engine.sharing import groups_that_share
from distexpand.errors import InterruptedRunError
from distexpand.formats.header import LENGTH_BYTES, parse_header
from distexpand.planning.layout import Layout
from distexpand.planning.model import Plan, ShardPlan
from distexpand.planning.operations import distinct_bytes, source_terms
from distexpand.planning.transfer import Transfer, transfer
from distexpand.report.watching.display import NoProgress
from distexpand.runner.local import MOST_TOGETHER_BYTES
from distexpand.storage.local.reader import LocalReader
from tests.api.small import SCALED, identities, small_model, tree
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint

ONCE = 1.02
"""How often each source byte may be read, headers and side files included."""

LAYERS = 12
GOLIATH = """
slices:
- sources: [{model: a, layer_range: [0, 5]}]
- sources: [{model: b, layer_range: [3, 7]}]
- sources: [{model: a, layer_range: [4, 9]}]
- sources: [{model: b, layer_range: [6, 11]}]
- sources: [{model: a, layer_range: [8, 12]}]
merge_method: passthrough
"""
OVERLAP = "{model: a, layer_map: [[0, 8], [4, 12]]}"
THREEFOLD = "{model: a, repeat: {layer_range: [3, 9], times: 3}}"
IDENTITY = "{model: a, block_expansion: {blocks: 4, where: interleaved}}"
ATTENUATED = """
model: a
repeat: {layer_range: [2, 10], times: 2}
attenuate_duplicates: [{filter: q_proj, value: 0.7071}, {filter: k_proj, value: 0.7071}]
"""
LINEAR = """
slices:
- sources:
  - {model: a, layer_range: [0, 8], parameters: {weight: 0.6}}
  - {model: b, layer_range: [0, 8], parameters: {weight: 0.4}}
- sources:
  - {model: a, layer_range: [4, 12], parameters: {weight: [0.2, 0.9]}}
  - {model: b, layer_range: [4, 12], parameters: {weight: 0.7}}
merge_method: linear
dtype: bfloat16
"""
CROSSED = """
slices:
- sources:
  - {model: a, layer_range: [0, 6], parameters: {weight: 0.6}}
  - {model: b, layer_range: [1, 7], parameters: {weight: 0.4}}
- sources: [{model: a, layer_range: [3, 9], parameters: {weight: 1}}]
- sources:
  - {model: a, layer_range: [6, 12], parameters: {weight: 0.5}}
  - {model: b, layer_range: [4, 10], parameters: {weight: 0.5}}
merge_method: linear
dtype: bfloat16
"""
RECIPES = {
    "goliath": GOLIATH,
    "overlap": OVERLAP,
    "threefold": THREEFOLD,
    "identity": IDENTITY,
    "attenuated": ATTENUATED,
    "linear": LINEAR,
    "crossed": CROSSED,
}
SHARD_SIZES = [1_000_000, 3_000_000, 10**10]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two models of about 6 MB, so that headers are small beside the weights as they are in real ones."""
    folder = tmp_path_factory.mktemp("models")
    sizes = {"hidden_size": 128, "intermediate_size": 352, "vocab_size": 128}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    shape = family("llama2-7b", num_layers=LAYERS, **sizes, **heads)
    for seed, name in enumerate("ab"):
        write_checkpoint(folder / name, shape, fill="random", seed=seed, shard_size=1_500_000)
    return {name: str(folder / name) for name in "ab"}


def planned(recipe: str, models: dict[str, str], layout: Layout, shard_size: int) -> Plan:
    made = plan_expansion(
        recipe, origin="r.yml", places=_places(recipe, models), layout=layout, shard_size=shard_size
    )
    return made.plan


def _places(recipe: str, models: dict[str, str]) -> dict[str, str]:
    return {name: place for name, place in models.items() if f"model: {name}" in recipe}


@contextmanager
def counted_reads() -> Iterator[Counter[str]]:
    """Count the bytes that are read of every source file, weights, headers and side files alike."""
    counted: Counter[str] = Counter()
    lock, real = threading.Lock(), LocalReader.read_into

    def reading(reader: LocalReader, offset: int, buffer: memoryview) -> None:
        real(reader, offset, buffer)
        with lock:
            counted[str(reader.path)] += len(buffer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalReader, "read_into", reading)
        yield counted


def _needs_torch(recipe: str) -> None:
    if recipe in {ATTENUATED, LINEAR, CROSSED, SCALED}:
        pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")


def _told(plan: Plan) -> Transfer:
    return transfer(plan, lambda shards: groups_that_share(shards, most_bytes=MOST_TOGETHER_BYTES))


@pytest.mark.parametrize("shard_size", SHARD_SIZES)
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_each_source_byte_is_read_once_from_planning_to_the_end(
    tmp_path: Path, models: dict[str, str], recipe: str, shard_size: int
) -> None:
    _needs_torch(recipe)
    with counted_reads() as counted:
        plan = planned(recipe, models, Layout.BY_SOURCE, shard_size)
        run_plan(plan, tmp_path / "out")
    told = _told(plan)
    assert told.needed <= counted.total() <= ONCE * told.needed
    assert verify_output(tmp_path / "out", sources=True, places=_places(recipe, models)).ok


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("shard_size", [600_000, *SHARD_SIZES])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_what_is_read_is_what_the_plan_said(
    tmp_path: Path, models: dict[str, str], recipe: str, shard_size: int, layout: Layout
) -> None:
    _needs_torch(recipe)
    plan = planned(recipe, models, layout, shard_size)
    told = _told(plan)
    with counted_reads() as counted:
        run_plan(plan, tmp_path / "out")
    assert told.planned.together <= counted.total() <= ONCE * told.planned.together


@pytest.mark.parametrize("recipe", [OVERLAP, LINEAR, CROSSED], ids=["overlap", "linear", "crossed"])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_resumed_run_reads_nothing_of_what_is_finished(
    tmp_path: Path, models: dict[str, str], recipe: str, after: int
) -> None:
    """What was under way is read again: at most two shards."""
    _needs_torch(recipe)
    plan = planned(recipe, models, Layout.BY_SOURCE, 1_000_000)
    told, output, stop = _told(plan), tmp_path / "out", threading.Event()

    class Stopping(NoProgress):
        """Stops the run as soon as so many shards are done."""

        def __init__(self) -> None:
            self.left = after

        def start(self, **_: int) -> None:
            if not self.left:
                stop.set()

        def advance(self, nbytes: int) -> None:
            """Not counted here."""

        def shard_done(self, _: str) -> None:
            self.left -= 1
            self.start()

        def stop(self) -> None:
            """Nothing is drawn."""

    assert told.planned.apart <= ONCE * told.needed
    with counted_reads() as before, pytest.raises(InterruptedRunError):
        run_plan(plan, output, stop=stop, progress=Stopping())
    done = identities(output)
    assert len(done) >= after
    left = [shard for shard in plan.shards if shard.name not in done]
    with counted_reads() as counted:
        run_plan(plan, output, mode=OutputMode.RESUME)
    assert identities(output).items() >= done.items()
    assert counted.total() <= _bytes_of(left) + (ONCE - 1) * told.needed
    under_way = sum(sorted((_bytes_of([shard]) for shard in left), reverse=True)[:2])
    assert before.total() + counted.total() <= ONCE * told.needed + under_way
    assert verify_output(output, sources=True, places=_places(recipe, models)).ok


def _bytes_of(shards: Sequence[ShardPlan]) -> int:
    return distinct_bytes(operation for shard in shards for operation in shard.operations)


def test_the_order_of_layers_reads_more_where_shards_are_made_one_by_one(
    tmp_path: Path, models: dict[str, str]
) -> None:
    """So that the tests above aren't true by themselves."""
    plan = planned(OVERLAP, models, Layout.LAYERS, 1_000_000)
    told = _told(plan)
    assert told.planned.apart > 1.3 * told.needed
    assert told.other.apart == told.needed
    with counted_reads() as counted:
        run_plan(plan, tmp_path / "out")
    assert counted.total() >= told.planned.apart


class _After(NoProgress):
    """Stops a run after some bytes."""

    def __init__(self, stop: threading.Event, left: int) -> None:
        self._stop, self._left, self._lock = stop, left, threading.Lock()

    def start(self, **_: int) -> None:
        """Nothing is drawn."""

    def advance(self, nbytes: int) -> None:
        with self._lock:
            self._left -= nbytes
            if self._left <= 0:
                self._stop.set()

    def shard_done(self, _: str) -> None:
        """Nothing is drawn."""

    def stop(self) -> None:
        """Nothing is drawn."""


SMALL = {
    "overlap": "{model: a, layer_map: [[0, 3], [1, 4], [0, 2]]}",
    "identity": "{model: a, block_expansion: {blocks: 2, where: interleaved}}",
    "scaled": SCALED,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("small") / "a")


@given(st.sampled_from(sorted(SMALL)), st.integers(200, 60_000), st.integers(1, 4))
@settings(deadline=None, max_examples=12)
def test_either_layout_gives_the_same_tensors(
    tmp_path_factory: pytest.TempPathFactory, small: Path, name: str, shard_size: int, threads: int
) -> None:
    _needs_torch(SMALL[name])
    folder = tmp_path_factory.mktemp("out")
    found = []
    for layout in Layout:
        plan = planned(SMALL[name], {"a": str(small)}, layout, shard_size)
        run_plan(plan, folder / layout.value, threads=threads)
        assert verify_output(folder / layout.value).ok
        found.append(_tensors(folder / layout.value))
    assert found[0] == found[1]


def _tensors(output: Path) -> dict[str, tuple[object, ...]]:
    """Return dtype, shape and bytes of every tensor of an output."""
    found = {}
    for path in output.glob("*.safetensors"):
        raw = path.read_bytes()
        size = LENGTH_BYTES + int.from_bytes(raw[:LENGTH_BYTES], "little")
        header = parse_header(raw[:size], file_size=len(raw), origin=path.name)
        for name, tensor in header.tensors.items():
            data = raw[tensor.offset : tensor.offset + tensor.length]
            found[name] = (tensor.dtype, tensor.shape, data)
    return found


def test_by_source_nothing_changes_with_threads_and_an_interruption(tmp_path: Path, small: Path) -> None:
    plan = planned(SMALL["overlap"], {"a": str(small)}, Layout.BY_SOURCE, 5000)
    run_plan(plan, tmp_path / "whole", threads=1)
    stop = threading.Event()
    with pytest.raises(InterruptedRunError):
        run_plan(plan, tmp_path / "out", stop=stop, progress=_After(stop, 20_000))
    run_plan(plan, tmp_path / "out", mode=OutputMode.RESUME)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_sources_are_read_in_the_order_of_their_files(models: dict[str, str]) -> None:
    plan = planned(GOLIATH, models, Layout.BY_SOURCE, 1_000_000)
    read = [part[:2] for shard in plan.shards for op in shard.operations for part in source_terms(op)]
    assert read == sorted(read)
