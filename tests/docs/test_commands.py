"""The check of blocks that aren't run finds what is wrong with them."""

import click
import pytest

from tests.docs.commands import check_shell


@pytest.mark.parametrize(
    "text",
    [
        "distexpand plan recipe.yml --modell a",
        "distexpand plam recipe.yml",
        "distexpand jobs lst",
        "make tset",
        "pip install '.[troch]'",
        "kubectl apply -f cluster/kuberay/rayjobs.yaml",
        "for x in",
        "distexpand plan a.yml \\\n    --nods 3 | cat",
    ],
)
def test_a_block_with_a_mistake_is_found(text: str) -> None:
    with pytest.raises((AssertionError, click.ClickException)):
        check_shell(text)


def test_blocks_without_mistakes_pass() -> None:
    check_shell("distexpand plan recipe.yml --model a=b --nodes 3 > plan.txt  # fine\nmake test JOBS=4\n")
    check_shell("pip install 'distexpand[hub,ray]'\nkubectl apply -f cluster/kuberay/rayjob.yaml &\n")
