from hypothesis import given

from distexpand.report.picture.runs import coarse_runs, layer_runs, model_names, ranges
from tests.report.stacks import GOLIATH, SOLAR, interleaved, origin, stack, stacks


@given(stacks())
def test_runs_put_end_to_end_are_the_layers(layers):
    for runs in (layer_runs(layers), coarse_runs(layers)):
        assert tuple(one for run in runs for one in run.origins) == layers
        assert [run.start for run in runs] == [0, *(run.stop for run in runs[:-1])]


@given(stacks())
def test_a_run_expands_from_its_ends(layers):
    for run in layer_runs(layers):
        step = 0 if run.first == run.last else 1
        assert [one.layer for one in run.origins] == [run.first + step * n for n in range(len(run.origins))]
        assert {one.model for one in run.origins} == {run.model}
        assert {one.identity for one in run.origins} == {run.identity}
        assert {one.transforms for one in run.origins} == {run.transforms}
        assert sum(count for _, count in run.kinds) == sum(bool(one.kind) for one in run.origins)


@given(stacks())
def test_coarse_runs_are_unions_of_runs(layers):
    assert {run.start for run in coarse_runs(layers)} <= {run.start for run in layer_runs(layers)}


def test_goliath_is_its_nine_slices():
    runs = layer_runs(stack(GOLIATH))
    assert [(run.model, run.first, run.last + 1) for run in runs] == GOLIATH
    assert runs[-1].stop == 137


def test_an_overlapping_slice_stays_one_run():
    first, second = layer_runs(stack(SOLAR))
    assert (first.repeats, second.repeats) == (0, 16)
    assert (second.first, second.last) == (8, 31)


def test_identity_blocks_stand_apart():
    runs = layer_runs(interleaved("m", 32, 8))
    assert [run.identity for run in runs] == [False, True] * 8
    assert [run.start for run in runs if run.identity] == [4, 9, 14, 19, 24, 29, 34, 39]


def test_one_layer_repeated_is_one_run():
    layers = stack([("m", 0, 30)]) + tuple(origin("m", 29, copy=n, identity=True) for n in range(1, 9))
    _, blocks = layer_runs(layers)
    assert (blocks.start, blocks.stop, blocks.first, blocks.last) == (30, 38, 29, 29)


def test_a_gradient_is_one_coarse_run():
    layers = tuple(origin("m", n, transforms=(f"scale q by {0.5 + abs(n - 2) / 8}",)) for n in range(5))
    assert len(layer_runs(layers)) == 5
    (run,) = coarse_runs(layers)
    assert run.transforms == ("scale q by 0.75 ... scale q by 0.75 (varies by layer)",)


def test_blends_go_on_while_every_source_goes_on():
    layers = (
        origin("a", 0, others=("b:x:4",)),
        origin("a", 1, others=("b:x:5",)),
        origin("a", 2, others=("b:x:9",)),
    )
    first, second = layer_runs(layers)
    assert first.others == (("b:x", 4, 5),)
    assert second.others == (("b:x", 9, 9),)
    assert model_names(layers) == ("a", "b:x")


def test_ranges():
    assert ranges([]) == []
    assert ranges([1, 2, 3, 7, 9, 10]) == [(1, 3), (7, 7), (9, 10)]
