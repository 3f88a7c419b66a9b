"""The sample that all of cluster/ runs: read by the real reader, with published recipes."""

import re
from pathlib import Path

from distexpand.batch.document import parse_batch
from tests.cluster_files import manifests

BATCH = manifests.CLUSTER / "batch.yml"


def test_the_sample_is_a_batch_of_published_recipes() -> None:
    batch = parse_batch(BATCH.read_text(), path=BATCH)
    for expansion in batch.expansions:
        recipe = manifests.ROOT / "configs" / expansion.recipe.name
        named = set(re.findall(r"model: *([\w.-]+/[\w.-]+)", recipe.read_text()))
        assert set(expansion.models) == {name for name in named if not name.startswith("http")}
        assert expansion.recipe.parent == BATCH.parent


def test_all_it_reads_and_writes_lies_where_the_manifests_mount_it() -> None:
    batch = parse_batch(BATCH.read_text(), path=BATCH)
    places = [batch.status]
    for expansion in batch.expansions:
        places += [expansion.output, *map(Path, expansion.models.values())]
    assert all(place.is_relative_to("/models") for place in places)
