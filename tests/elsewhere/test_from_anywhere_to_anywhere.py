"""Whatever an expansion is read from and written to, the bytes are those of a run from disk to disk."""

import shutil
from pathlib import Path

import pytest

from distexpand.api import run_plan, verify_output
from distexpand.storage.address import parse_address
from tests.api.small import small_model, tree
from tests.elsewhere.places import same_files
from tests.elsewhere.runs import output_at, planned, run_in_two

# The Hub's client calls its own HTTP library in a way that this one wants otherwise.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

WAYS = [
    ("disk", "s3"),
    ("s3", "s3"),
    ("hf", "disk"),
    ("hf", "s3"),
    ("s3", "disk"),
    ("disk", "hf"),
    ("hf", "hf"),
    ("az", "az"),
    ("s3", "hf"),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return small_model(folder / "base", seed=1), small_model(folder / "other", seed=2)


def expected_files(models: tuple[Path, Path], names: tuple[str, str], output: Path) -> dict[str, bytes]:
    """Return what a run from disk to disk makes of models that are called so."""
    places = {name: str(model) for name, model in zip(names, models, strict=True)}
    run_plan(planned(*names, places), output, clone=False)
    return tree(output)


def pinned_names(locations: tuple[tuple[str, str], ...], names: tuple[str, str]) -> tuple[str, str]:
    """Return the names with the commits that they are planned at, where they are on the Hub."""
    first, second = (model for model, _ in locations)
    assert (first.partition("@")[0], second.partition("@")[0]) == names
    return first, second


@pytest.mark.parametrize(("read", "written"), WAYS)
def test_the_bytes_are_those_of_a_local_run(places, models, tmp_path, read, written):
    sources, outputs = places(read), places(written)
    put = {model.name: sources.put(model.name, tree(model)) for model in models}
    plan = planned("base", "other", put)
    names = pinned_names(plan.locations, ("base", "other"))
    assert all(len(name.partition("@")[2]) == (40 if read == "hf" else 0) for name in names)
    output = output_at(outputs.new("out"))
    run_in_two(plan, output, shards=2)
    assert same_files(outputs.get("out"), expected_files(models, names, tmp_path / "expected"))
    report = verify_output(output, sources=True, places=put)
    assert report.ok
    assert report.checks == ("structure", "content", "sources")


def test_from_a_web_server(web, models, tmp_path):
    """A web server lists nothing, so that only files of well-known names are found."""
    put = {model.name: web.put(model.name, tree(model)) for model in models}
    run_in_two(planned("base", "other", put), tmp_path / "out", shards=2)
    known = [shutil.copytree(model, tmp_path / model.name) for model in models]
    for model in known:
        shutil.rmtree(model / "additional_chat_templates")
    expected = expected_files((known[0], known[1]), ("base", "other"), tmp_path / "expected")
    assert same_files(tree(tmp_path / "out"), expected)


def test_repositories_are_found_by_their_names(places, models, tmp_path):
    hub = places("hf")
    for model in models:
        hub.put(model.name, tree(model))
    plan = planned("ann/base", "ann/other")
    assert [parse_address(location).scheme for _, location in plan.locations] == ["hf", "hf"]
    names = pinned_names(plan.locations, ("ann/base", "ann/other"))
    run_plan(plan, tmp_path / "out")
    assert same_files(tree(tmp_path / "out"), expected_files(models, names, tmp_path / "expected"))


def test_a_push_after_planning_changes_nothing(places, models, tmp_path):
    hub = places("hf")
    for model in models:
        hub.put(model.name, tree(model))
    plan = planned("ann/base", "ann/other")
    hub.put("base", tree(small_model(tmp_path / "changed", seed=3)))
    run_plan(plan, tmp_path / "out")
    names = pinned_names(plan.locations, ("ann/base", "ann/other"))
    assert same_files(tree(tmp_path / "out"), expected_files(models, names, tmp_path / "expected"))
    assert verify_output(tmp_path / "out", sources=True).ok, "the manifest's recipe names the commit"
