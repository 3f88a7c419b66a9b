"""What preflight says of what a node found, without a cluster: the order of problems and their words."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs Ray: pip install 'distexpand[ray]'")

from distexpand.cluster.node_check import NodeView, SourceView, Versions
from distexpand.cluster.preflight import require_nodes
from distexpand.cluster.task import OrderedSource
from distexpand.cluster.verdict import Expected, problem_of, suspects
from distexpand.errors import StorageError, UsageError
from tests.cluster.entries import nodes

_VERSIONS = Versions(package="a" * 64, python="3.11.9", ray="2.60.0", libraries=(("torch", "2.6.0"),))
_SOURCE = OrderedSource(number=0, model="a", location="/models/a", path="x.safetensors", size=8, pin="p")
_WANTED = Expected(
    output=Path("/out"),
    sources=(_SOURCE,),
    versions_of_sources=("1",),
    versions=_VERSIONS,
    transforms=True,
    needed=100,
)
_SOUND = NodeView(
    node="n",
    host="h",
    versions=_VERSIONS,
    marker="m",
    read_problem="",
    write_problem="",
    free=100,
    sources=(SourceView(version="1"),),
)
_NODES = nodes(one=4, two=4)


def _said(view: NodeView, *, returned: str = "m", wanted: Expected = _WANTED) -> str:
    error = problem_of(view, _NODES["one"], wanted, marker="m", returned=returned)
    assert error is None or error.hint
    return error.message if error else ""


def test_a_sound_node_has_no_problem() -> None:
    assert not _said(_SOUND)
    assert not _said(replace(_SOUND, free=None))
    assert not suspects(_SOUND, _WANTED)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"package": "b" * 64}, "runs distexpand bbbbbbbbbbbb, the driver aaaaaaaaaaaa"),
        ({"ray": "2.50.1"}, "runs Ray 2.50.1, the driver 2.60.0"),
        ({"python": "3.12.9"}, "runs Python 3.12, the driver 3.11"),
        ({"libraries": (("torch", "1.0"),)}, "runs torch 1.0, the driver 2.6.0"),
        ({"libraries": ()}, "runs torch none, the driver 2.6.0"),
    ],
)
def test_skewed_versions(change: dict[str, object], said: str) -> None:
    view = replace(_SOUND, versions=replace(_VERSIONS, **change))
    assert _said(view) == f"node one {said}"
    copying = _said(view, wanted=replace(_WANTED, transforms=False))
    assert bool(copying) == ("libraries" not in change)


def test_another_patch_of_python_is_ray_s_business() -> None:
    assert not _said(replace(_SOUND, versions=replace(_VERSIONS, python="3.11.2")))


def test_the_output_comes_first() -> None:
    broken = replace(_SOUND, versions=replace(_VERSIONS, ray="1"), sources=(SourceView(problem="x"),), free=0)
    unseen = "node one doesn't see the output /out that the driver sees: "
    assert _said(replace(broken, marker="", read_problem="No such file")) == f"{unseen}No such file"
    assert _said(replace(broken, marker="other")) == f"{unseen}it holds another marker"
    assert _said(broken, returned="") == f"{unseen}the driver doesn't see what the node writes"
    assert _said(replace(broken, write_problem="No space left on device"), returned="") == (
        "node one sees the output /out but can't write there: No space left on device"
    )
    assert "Ray 1" in _said(broken)
    assert "model a: x (1 of 1 source files)" in _said(replace(broken, versions=_VERSIONS))
    assert _said(replace(_SOUND, free=99)) == "node one: the output needs 100 bytes, 99 are free there"


def test_a_source_of_another_state_is_looked_into() -> None:
    assert suspects(replace(_SOUND, sources=(SourceView(version="2"),)), _WANTED) == (_SOURCE,)


def test_of_several_problems_one_that_won_t_pass_is_told_first() -> None:
    wrong = {"1": StorageError("full"), "2": UsageError("skewed", hint="update")}
    with pytest.raises(UsageError, match=r"^skewed \(2 of 2 nodes have such a problem\)\nupdate$") as caught:
        require_nodes(_NODES, wrong)
    assert caught.value.hint == "update"
    require_nodes(_NODES, {})
