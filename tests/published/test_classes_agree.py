"""What transformers' own config class makes of the output's config: the kinds of layers that were wanted.

For rules that are left as they are, since the class has to come to the new layers by itself.
"""

import json
from typing import Any

import pytest

from tests.published.conftest import Planning
from tests.published.test_expansions import words


@pytest.mark.parametrize(
    ("model", "ranges", "key", "expected"),
    [
        ("gpt-oss-120b", ((0, 19), (16, 36)), "layer_types", words("SF" * 9 + "S" + "SF" * 10)),
        ("gemma-3-27b", ((0, 36), (18, 62)), "layer_types", words("SSSSSF" * 13 + "SS")),
        (
            "gemma-3-27b",
            ((0, 32), (27, 62)),
            "layer_types",
            words("SSSSSF" * 5 + "SS" + "SSF" + "SSSSSF" * 5 + "SS"),
        ),
        ("llama-4-maverick", ((0, 32), (16, 48)), "layer_types", words("CCCF" * 16)),
        ("llama-4-maverick", ((0, 32), (16, 48)), "moe_layers", list(range(1, 64, 2))),
        (
            "llama-4-maverick",
            ((0, 25), (22, 48)),
            "layer_types",
            words("CCCF" * 6 + "C" + "CF" + "CCCF" * 6),
        ),
        ("lfm2-1.2b", ((0, 12), (4, 16)), "layer_types", words("ccFccFccFcFccFccFcFcFcFc")),
    ],
)
def test_the_class_reads_the_kinds_that_were_wanted(
    model: str, ranges: tuple[tuple[int, int], ...], key: str, expected: list[Any], planned: Planning
) -> None:
    transformers = pytest.importorskip(
        "transformers", reason="needs transformers: pip install 'distexpand[load]'"
    )
    config = json.loads(planned(model, *ranges).plan.texts[0].text)
    config.pop("quantization_config", None)
    read = transformers.AutoConfig.for_model(**config).get_text_config()
    assert getattr(read, key) == expected
