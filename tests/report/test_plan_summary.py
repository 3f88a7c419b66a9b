import io
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from distexpand.findings import Finding
from distexpand.planning.layout import Layout
from distexpand.planning.transfer import LayoutReads, transfer
from distexpand.report.plan_report import plan_report
from distexpand.report.run_report import run_report
from distexpand.report.summary import summarise
from tests.report import plans
from tests.report.stacks import SOLAR, interleaved, stack, stacks

FACTS = {"layers_before": 30, "disk_needed": 900, "disk_free": 1000, "expected_peak_memory": 96_000_000}
FINDING = Finding(code="unused-layers", message="m: layer 3 is in no slice", advice="Add [it] to a slice.")
PIECES = st.lists(
    st.tuples(
        st.sampled_from(["copy", "zero", "scale", "blend"]),
        st.integers(0, 500).map(lambda n: 2 * n),
        st.integers(0, 2000),
    ),
    max_size=12,
)


def summary_of(shards, layers=(), **facts):
    return summary_of_plan(plans.plan(shards, layers), **facts)


def summary_of_plan(plan, **facts):
    moved = transfer(plan, lambda shards: [[shard] for shard in shards])
    return summarise(plan, transfer=moved, **{**FACTS, **facts})


def shown(renderable, width=100, encoding="utf-8"):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=stream, width=width, color_system=None).print(renderable)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


@given(st.lists(PIECES, min_size=1, max_size=5))
def test_the_figures_add_up(pieces):
    shards = [plans.shard(number, len(pieces), kinds) for number, kinds in enumerate(pieces, start=1)]
    figures = summary_of(shards).to_json()
    sizes = figures["bytes"]
    assert sizes["copied"] + sizes["zero"] + sizes["transformed"] + sizes["headers"] == sizes["written"]
    assert sizes["written"] == sum(shard["size"] for shard in figures["shards"])
    assert figures["tensors"] == sum(shard["tensors"] for shard in figures["shards"]) == sum(map(len, pieces))
    factor = {"copy": 1, "zero": 0, "scale": 2, "blend": 3}
    named = sum(factor[kind] * length for kinds in pieces for kind, length, _ in kinds)
    assert sizes["read_unique"] <= sizes["read"] <= named


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=6))
def test_what_is_read_is_told_for_either_layout(copies):
    """Each layer in so many shards; by source it is read once."""
    count = sum(times for times, _ in copies)
    kinds = [("copy", 8, 100 * layer) for times, layer in copies for _ in range(times)]
    shards = [plans.shard(number, count, [kind]) for number, kind in enumerate(kinds, start=1)]
    figures = summary_of(shards).to_json()
    layers = len({layer for _, layer in copies})
    assert figures["bytes"]["read_unique"] == 8 * layers
    assert figures["reads"]["layers"]["apart"] == figures["bytes"]["read"] == 8 * count


@given(PIECES)
def test_unique_bytes_are_those_of_the_sets(kinds):
    narrow, wide = set(), set()
    for kind, length, offset in kinds:
        if kind in {"copy", "blend"}:
            narrow.update(range(offset, offset + length))
        if kind in {"scale", "blend"}:
            wide.update(range(offset, offset + 2 * length))
    assert summary_of([plans.shard(1, 1, kinds)]).transfer.needed == len(narrow) + len(wide)


@given(stacks())
def test_layers_are_repeated_or_identity_or_neither(layers):
    figures = summary_of([plans.shard(1, 1, [])], layers)
    assert figures.layers_after == len(layers)
    assert figures.layers_repeated + figures.layers_identity <= len(layers)
    listed = figures.to_json()["layers"]["stack"]
    assert [entry["output"] for entry in listed] == list(range(len(layers)))
    assert [entry["layer"] for entry in listed] == [layer.layer for layer in layers]


def test_headers_without_metadata_count_alike():
    kinds = [("copy", 8, 0), ("zero", 8, 0)]
    assert summary_of([plans.shard(1, 1, kinds, metadata=False)]).tensors == 2
    assert summary_of([plans.shard(1, 1, kinds)]).tensors == 2


def test_the_json_document_has_these_keys():
    layers = interleaved("m", 32, 8)
    document = summary_of([plans.shard(1, 1, [("copy", 8, 0)])], layers, findings=(FINDING,)).to_json()
    assert json.loads(json.dumps(document))["layers"]["identity"] == 8
    assert list(document) == [
        "layers",
        "parameters",
        "tensors",
        "bytes",
        "reads",
        "shards",
        "disk",
        "io",
        "memory",
        "findings",
    ]
    assert list(document["layers"]) == ["before", "after", "repeated", "identity", "new", "stack"]
    assert list(document["bytes"]) == [
        "read",
        "read_unique",
        "written",
        "copied",
        "zero",
        "transformed",
        "headers",
        "side_files",
    ]
    assert document["reads"] == {
        "layers": {"together": 8, "apart": 8},
        "by-source": {"together": 8, "apart": 8},
    }
    assert list(document["layers"]["stack"][0]) == [
        "output",
        "model",
        "layer",
        "others",
        "copy",
        "identity",
        "new",
        "transforms",
        "kind",
    ]
    assert document["shards"] == [
        {"name": "model-00001-of-00001.safetensors", "size": document["bytes"]["written"], "tensors": 1}
    ]
    assert document["findings"][0]["code"] == "unused-layers"
    assert document["disk"] == {"needed": 900, "free": 1000}


def test_long_shard_lists_are_short_on_the_terminal_and_whole_in_json():
    shards = [plans.shard(number, 24, [("copy", 8, 0)]) for number in range(1, 25)]
    plan = plans.plan(shards, stack(SOLAR))
    summary = summary_of_plan(plan)
    text = shown(plan_report(summary, plan))
    assert [number for number in range(1, 25) if f"model-{number:05d}-of" in text] == [1, 2, 3, 24]
    assert "20 more" in text
    assert len(summary.to_json()["shards"]) == 24


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_report_says_what_matters(width, encoding):
    plan = plans.plan([plans.shard(1, 1, [("copy", 800, 0), ("zero", 200, 0)])], interleaved("m", 32, 8))
    summary = summary_of_plan(plan, findings=(FINDING,))
    text = shown(plan_report(summary, plan), width, encoding)
    assert all(len(line) <= width for line in text.splitlines())
    assert ("30 -> 40" if encoding == "ascii" else "30 → 40") in text
    assert "8 identity blocks, 8 new" in text
    assert "96.0 MB" in text
    assert text.index("AAAA=") < text.index("unused-layers") < text.index("Add [it] to a slice.")


def reads(layout, together, apart):
    return LayoutReads(layout=layout, together=together, apart=apart)


@pytest.mark.parametrize(
    ("layout", "planned", "other", "lines"),
    [
        (Layout.LAYERS, (70, 70), (70, 70), ["read 70 B each byte once"]),
        (Layout.LAYERS, (90, 90), (70, 70), ["read 90 B 70 B with --layout by-source"]),
        (
            Layout.LAYERS,
            (70, 99),
            (70, 70),
            [
                "read 70 B each byte once",
                "99 B shard by shard, as on a cluster; 70 B with --layout by-source",
            ],
        ),
        (
            Layout.LAYERS,
            (80, 99),
            (70, 70),
            ["read 80 B 70 B with --layout by-source", "99 B shard by shard, as on a cluster"],
        ),
        (Layout.BY_SOURCE, (70, 70), (90, 99), ["read 70 B each byte once"]),
        (
            Layout.BY_SOURCE,
            (75, 75),
            (90, 99),
            ["read 75 B 70 B of it distinct: some copies take more than a shard"],
        ),
        (Layout.LAYERS, (75, 75), (75, 75), ["read 75 B 70 B of it distinct"]),
    ],
)
@pytest.mark.parametrize("width", [80, 120])
def test_what_is_read_in_this_layout_and_the_other_one(layout, planned, other, lines, width):
    plan = plans.plan([plans.shard(1, 1, [("copy", 80, 0)])], stack(SOLAR))
    summary = summary_of_plan(plan)
    (other_layout,) = set(Layout) - {layout}
    moved = replace(
        summary.transfer, needed=70, planned=reads(layout, *planned), other=reads(other_layout, *other)
    )
    text = " ".join(shown(plan_report(replace(summary, transfer=moved), plan), width).split())
    assert f"{' '.join(lines)} write " in text


def test_too_little_disk_is_said():
    plan = plans.plan([plans.shard(1, 1, [])], stack(SOLAR))
    summary = summary_of_plan(plan)
    assert "only 400 B free: 500 B too little" in shown(plan_report(replace(summary, disk_free=400), plan))
    assert "free space not known" in shown(plan_report(replace(summary, disk_free=None), plan))


def test_the_run_report_says_what_was_kept():
    summary = summary_of([plans.shard(1, 1, [("copy", 800, 0)])], stack(SOLAR))
    figures = {"output": "out[red]", "seconds": 2.0, "peak_memory": 64_000_000}
    whole = shown(run_report(summary, bytes_done=summary.bytes_written, **figures))
    assert "out[red]" in whole
    assert "in 2.0 s" in whole
    assert "kept" not in whole
    assert "from the run before" in shown(run_report(summary, bytes_done=10, **figures))
