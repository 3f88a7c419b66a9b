"""Where finished shards have a source's bytes is found, and nothing that they don't have."""

from hypothesis import given
from hypothesis import strategies as st

from distexpand.storage.objects.requests import StoredObject
from distexpand.storage.s3.made import Copied, MadeCopies

SOURCE = bytes(range(200))
RANGES = st.tuples(st.integers(0, 150), st.integers(1, 50))


def _object(number):
    return StoredObject(scheme="s3", root="b", key=str(number), tag="t")


@given(st.lists(st.lists(RANGES, max_size=4), max_size=5), RANGES)
def test_what_is_found_has_the_bytes_and_is_the_longest(shards, wanted):
    made, contents, overlaps = MadeCopies(), {}, [0]
    for number, ranges in enumerate(shards):
        raw = bytearray()
        for offset, length in ranges:
            made.asked(str(number), Copied(source="s", source_offset=offset, offset=len(raw), length=length))
            raw += SOURCE[offset : offset + length]
            begin, end = max(offset, wanted[0]), min(offset + length, sum(wanted))
            overlaps.append(end - begin)
        made.made(str(number), _object(number))
        contents[str(number)] = raw
    found = made.find("s", *wanted)
    assert made.find("other", *wanted) is None
    assert (found.length if found else 0) == max(overlaps)
    if found:
        raw = contents[found.stored.key][found.offset : found.offset + found.length]
        assert raw == SOURCE[found.source_offset : found.source_offset + found.length]
        assert wanted[0] <= found.source_offset <= found.source_offset + found.length <= sum(wanted)


def test_what_was_asked_for_is_not_there_before_it_is_made():
    made = MadeCopies()
    copied = Copied(source="s", source_offset=0, offset=0, length=5)
    made.asked("a", copied)
    made.asked("b", copied)
    assert made.find("s", 0, 5) is None
    made.dropped("a")
    made.made("a", _object(1))
    assert made.find("s", 0, 5) is None
    made.made("b", _object(2))
    assert made.find("s", 0, 5).stored == _object(2)
