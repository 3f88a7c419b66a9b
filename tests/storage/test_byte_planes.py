"""Byte planes come together again, and are the same with numpy and without."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.storage.archives import byte_planes
from distexpand.storage.archives.byte_planes import join_planes, split_planes

widths = st.sampled_from([2, 4])


@st.composite
def elements(draw):
    width = draw(widths)
    return width, draw(st.binary(max_size=200)) * draw(st.sampled_from([0, width, 1024 * width]))


@given(elements())
def test_planes_come_together_again(case):
    width, raw = case
    planes = split_planes(raw, width)
    assert [len(plane) for plane in planes] == [len(raw) // width] * width
    assert bytes(join_planes(planes)) == raw


@given(elements())
def test_planes_are_the_same_without_numpy(case):
    width, raw = case
    planes = [bytes(plane) for plane in split_planes(raw, width)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byte_planes, "_numpy", lambda: None)
        assert [bytes(plane) for plane in split_planes(raw, width)] == planes
        assert bytes(join_planes(planes)) == raw


@given(elements())
def test_planes_hold_the_bits_of_every_element_rotated(case):
    width, raw = case
    bits = 8 * width
    planes = [bytes(plane) for plane in split_planes(raw, width)]
    for number in range(0, len(raw) // width, max(len(raw) // width // 7, 1)):
        element = int.from_bytes(raw[number * width : (number + 1) * width], "little")
        rotated = (element << 1 | element >> (bits - 1)) & (1 << bits) - 1
        assert bytes(plane[number] for plane in planes) == rotated.to_bytes(width)


def test_exponents_of_eight_bits_fill_the_highest_plane_alone():
    one, minus_three = 0x3F80, 0xC040
    high, low = split_planes(one.to_bytes(2, "little") + minus_three.to_bytes(2, "little"), 2)
    assert bytes(high) == bytes([127, 128])
    assert bytes(low) == bytes([0, 0b10000001])
