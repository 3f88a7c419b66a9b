"""What travels: the same after the journey, one name for one work, and nothing that means nothing there."""

import base64
import secrets
import zlib
from importlib.metadata import requires

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.cluster.options import ClusterOptions
from distexpand.errors import RecipeError, UsageError
from distexpand.jobs.entry import missing_line, parse_missing
from distexpand.jobs.request import (
    MAX_ENCODED,
    JobRequest,
    decode_request,
    encode_request,
    make_request,
    parse_submission_id,
    submission_id,
    work_id,
)
from distexpand.jobs.requirements import BASE_REQUIREMENTS, missing_requirements
from distexpand.planning.layout import Layout

RECIPE = "{model: a, layer_map: [[0, 3], [1, 4]]}"
PLACES = {"a": "/models/a"}


def asked(recipe: str = RECIPE, **changes: object) -> JobRequest:
    given = {"origin": "recipe.yml", "places": PLACES, "shard_size": 5000, "output": "/out"} | changes
    return make_request(recipe, **given)


def test_an_adapter_has_a_place_too() -> None:
    places = {"a": "/models/a", "lora": "/runs/lora"}
    recipe = "{model: a+lora, layer_map: [[0, 3], [1, 4]]}"
    assert asked(recipe, places=places).places == places
    assert work_id(asked(recipe, places=places)) != work_id(asked(RECIPE))
    with pytest.raises(UsageError, match="the recipe names no such model"):
        asked(places=places)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


@given(
    st.builds(
        JobRequest,
        recipe=texts,
        origin=texts,
        places=st.dictionaries(texts, texts, max_size=3),
        shard_size=st.integers(1, 10**18),
        layout=st.sampled_from(Layout),
        output=texts,
        overwrite=st.booleans(),
        options=st.builds(
            ClusterOptions,
            per_node=st.integers(1, 100),
            threads=st.integers(1, 100),
            max_in_flight=st.none() | st.integers(1, 100),
            tries=st.integers(1, 100),
            wait_for_output=st.floats(0, 1e6),
            run=texts,
        ),
    )
)
def test_a_request_comes_back_as_it_was(request_: JobRequest) -> None:
    assert decode_request(encode_request(request_)) == request_


def test_one_work_has_one_name_however_it_is_written() -> None:
    spellings = [
        asked(),
        asked("# words\nmodel:   a\nlayer_map:\n- [0, 3]\n- [1, 4]\n", origin="/else/where/other.yml"),
        asked('{"layer_map": [[0, 3], [1, 4]], "model": "a"}'),
        asked(output="//out/sub/.."),
        asked(overwrite=True, options=ClusterOptions(threads=1)),
    ]
    assert len({work_id(one) for one in spellings}) == 1


def test_another_work_has_another_name() -> None:
    others = [
        asked(),
        asked("{model: a, layer_map: [[0, 3], [0, 4]]}"),
        asked("{model: a, block_expansion: {blocks: 2, where: interleaved}}"),
        asked("{model: a, block_expansion: {blocks: 2, where: end}}"),
        asked(shard_size=5001),
        asked(layout=Layout.BY_SOURCE),
        asked(output="/out2"),
        asked(places={"a": "/models/b"}),
    ]
    assert len({work_id(one) for one in others}) == len(others)


def test_a_recipe_that_names_no_model_gets_it_by_its_place() -> None:
    nameless = "{layer_map: [[0, 3], [1, 4]]}"
    assert work_id(asked(nameless, places={"": "/x"})) != work_id(asked(nameless, places={"": "/y"}))
    with pytest.raises(RecipeError):
        asked(nameless, places={})


@pytest.mark.parametrize(
    "changes",
    [
        {"output": "out"},
        {"output": "~/out"},
        {"output": "s3://bucket/out"},
        {"output": "/out\udcff"},
        {"output": "/out\0"},
        {"places": {"a": "models/a"}},
        {"places": {"b": "/models/b"}},
        {"recipe": "{model: a}"},
        {"recipe": "- 1"},
    ],
)
def test_what_means_nothing_there_is_refused_here(changes: dict[str, object]) -> None:
    with pytest.raises((UsageError, RecipeError)):
        asked(**changes)


def test_a_recipe_too_large_for_a_variable_is_refused() -> None:
    noise = secrets.token_hex(MAX_ENCODED)
    with pytest.raises(UsageError, match="a job can be given 100,000"):
        asked(f"{RECIPE}\n# {noise}")
    assert len(encode_request(asked(RECIPE + "\n# word" * 100_000))) < MAX_ENCODED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "eJw=",
        encode_request(asked())[:-8],
        base64.b64encode(zlib.compress(b"[]")).decode(),
        base64.b64encode(zlib.compress(b'{"options":{"nonsense":1}}')).decode(),
        base64.b64encode(zlib.compress(b'{"options":{"per_node":"2"}}')).decode(),
        base64.b64encode(zlib.compress(bytes(10**8))).decode(),
    ],
)
def test_a_damaged_request_is_an_error_for_people(text: str) -> None:
    with pytest.raises(UsageError, match="damaged or of another version"):
        decode_request(text)


def test_a_request_with_a_field_too_many_is_of_another_version() -> None:
    raw = zlib.decompress(base64.b64decode(encode_request(asked())))
    changed = base64.b64encode(zlib.compress(raw.replace(b'"origin"', b'"origins"'))).decode()
    with pytest.raises(UsageError):
        decode_request(changed)


@given(st.text("0123456789abcdef", min_size=16, max_size=16), st.integers(1, 10**6))
def test_names_of_jobs_are_read_back(work: str, number: int) -> None:
    assert parse_submission_id(submission_id(work, number)) == (work, number)


@pytest.mark.parametrize("text", ["", "raysubmit_1", "distexpand-1-1", "distexpand-0123456789abcdef-x"])
def test_jobs_of_others_are_none_of_ours(text: str) -> None:
    assert parse_submission_id(text) is None


def test_requirements_are_the_package_s_own() -> None:
    declared = [entry for entry in requires("distexpand") or () if "extra ==" not in entry]
    assert sorted(BASE_REQUIREMENTS) == sorted(declared)
    assert missing_requirements() == ()


def test_what_is_missing_is_read_from_the_log() -> None:
    assert parse_missing(missing_line(BASE_REQUIREMENTS)) == BASE_REQUIREMENTS
    for line in ("", "missing", '{"missing_requirements":', '{"missing_requirements":3}', "{}"):
        assert parse_missing(line) == ()


def test_a_model_may_be_called_like_a_secret() -> None:
    places = {"org/my-token": "/models/my-token-large"}
    named = asked("{model: org/my-token, layer_map: [[0, 3]]}", places=places)
    assert decode_request(encode_request(named)) == named


def test_a_credential_in_a_model_s_name_is_not_repeated() -> None:
    secret = secrets.token_hex(20)
    with pytest.raises(UsageError, match="--model, 1") as raised:
        asked(places={f"https://user:{secret}@host/a": "/models/a"})
    assert secret not in raised.value.message + raised.value.hint


def test_a_request_keeps_its_output_s_spelling_apart_from_dots() -> None:
    assert asked(output="/a//b/./c/").output == "/a/b/c"
    assert asked(output="//a").output == "/a"
