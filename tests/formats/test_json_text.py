"""JSON that two readers could understand differently, or that can't be written again, is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.errors import CheckpointError
from distexpand.formats.json_text import brief, load_json


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":1,"a":1}',
        b'{"b":{"a":1,"a":2}}',
        b"NaN",
        b'{"a":NaN}',
        b'"\\ud800"',
        b'["\\udc00\\ud800"]',
        b"\xff",
        b"[" * 100_000,
        b"9" * 5000,
        b"// comment\n{}",
    ],
    ids=lambda raw: raw[:30].decode("latin-1"),
)
def test_refused(raw):
    with pytest.raises(CheckpointError, match=r"^file\.json: "):
        load_json(raw, origin="file.json")


def test_infinity_of_published_configs_is_kept():
    assert load_json(b'{"time_step_limit":[0.0,Infinity]}', origin="x") == {
        "time_step_limit": [0.0, math.inf]
    }
    assert load_json(b"-Infinity", origin="x") == -math.inf


def test_pairs_of_escapes_are_a_character():
    assert load_json(b'"\\ud83d\\ude00 \\\\ud800"', origin="x") == "\N{GRINNING FACE} \\ud800"


@given(st.binary(max_size=30))
def test_any_bytes(raw):
    try:
        load_json(raw, origin="file.json")
    except CheckpointError as error:
        assert error.message.startswith("file.json: ")  # noqa: PT017  # either way is right


@given(st.text(max_size=1000))
def test_brief_is_short_and_printable(text):
    assert len(brief(text)) <= 123
    assert brief(text).isprintable()
