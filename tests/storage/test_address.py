"""Places as users write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.errors import UsageError
from distexpand.storage.address import Address, local_path, parse_address

segments = st.text(
    st.characters(categories=("L", "N", "P", "S", "Zs"), exclude_characters="/@?#"), min_size=1, max_size=8
).filter(lambda text: text not in {".", ".."})
paths = st.lists(segments, max_size=3).map("/".join)
plain = st.from_regex(r"[a-z][a-z0-9-]{2,10}", fullmatch=True)
revisions = st.none() | st.text(st.characters(categories=("L", "N"), include_characters="/._-@ "), min_size=1)

addresses = st.one_of(
    st.builds(Address, scheme=st.sampled_from(["s3", "gs", "az", "http", "https"]), root=plain, path=paths),
    st.builds(
        Address,
        scheme=st.just("hf"),
        root=st.tuples(plain, plain).map("/".join),
        path=st.lists(plain, max_size=2).map("/".join),
        revision=revisions,
    ),
    st.builds(Address, scheme=st.just("file"), root=st.just(""), path=paths.map("/{}".format)),
)


@given(addresses)
def test_what_is_written_is_read_again(address):
    assert parse_address(str(address)) == address


@given(paths)
def test_files_are_local_paths(path):
    written = str(Address(scheme="file", root="", path=f"/{path}"))
    assert local_path(written) == f"/{path}"
    assert local_path(written.replace("file://", "file://localhost")) == f"/{path}"


@pytest.mark.parametrize("text", ["models/it", "/models/it", "org/name", "./s3:/x", "C:\\models"])
def test_what_has_no_scheme_may_be_a_path(text):
    assert parse_address(text) is None
    assert local_path(text) == text


def test_an_empty_text_is_no_place():
    with pytest.raises(UsageError, match="the place is empty"):
        parse_address("")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("s3://bucket", Address(scheme="s3", root="bucket")),
        ("S3://bucket/a/b/", Address(scheme="s3", root="bucket", path="a/b")),
        ("gcs://bucket/a", Address(scheme="gs", root="bucket", path="a")),
        ("azure://container/a", Address(scheme="az", root="container", path="a")),
        ("https://host:8080/a%20b/c", Address(scheme="https", root="host:8080", path="a%20b/c")),
        ("hf://models/org/name@v1/sub", Address(scheme="hf", root="org/name", path="sub", revision="v1")),
    ],
)
def test_places_are_read_as_they_are_usually_written(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://host/a", "ftp://...: unknown kind of place"),
        ("s3://", "names no bucket"),
        ("https:///a", "names no server"),
        ("s3://bucket/a//b", "a folder's name can't be empty"),
        ("gs://bucket/a/../b", "a folder's name can't be empty"),
        ("https://host/a?b=c", "without `[?]` or `#`"),
        ("https://host/a#b", "without `[?]` or `#`"),
        ("http://host:99999/a", "server and port can't be told"),
        ("http://[::1/a", "server and port can't be told"),
        ("hf://name", "not a model of the Hub"),
        ("hf://org/name@", "not a model of the Hub"),
        ("file://server/share", "not a path of this machine"),
        ("file://", "not a path of this machine"),
    ],
)
def test_what_is_no_place_is_an_error(text, message):
    with pytest.raises(UsageError, match=message):
        parse_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://me:Secret@host/a",
        "https://Secret@host/a?x",
        "s3://me:Secret@bucket/a",
        "https://host/a?signature=Secret",
        "https://me:Secret@[::1/a",
        "https://me:Secret@host:99999/a",
    ],
)
def test_secrets_in_a_place_are_refused_and_not_repeated(text):
    with pytest.raises(UsageError) as raised:
        parse_address(text)
    assert "Secret" not in raised.value.message + raised.value.hint
