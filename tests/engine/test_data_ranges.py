"""How much of a source's range is data is what the file system says of that range."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distexpand.engine.space import _DataRanges
from distexpand.storage.local.reader import LocalReader

_BLOCK = 4096
_BLOCKS = 24


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.sets(st.integers(0, _BLOCKS - 1)), st.data())
def test_bytes_within_a_range_are_those_of_its_data(
    tmp_path: Path, written: set[int], data: st.DataObject
) -> None:
    path, size = tmp_path / "sparse", _BLOCKS * _BLOCK + 5
    with path.open("wb") as file:
        file.truncate(size)
        for block in written:
            file.seek(block * _BLOCK)
            file.write(b"x" * _BLOCK)
    reader = LocalReader(path)
    ranges = _DataRanges([reader])
    for _ in range(3):
        offset = data.draw(st.integers(0, size))
        length = data.draw(st.integers(0, size - offset))
        expected = sum(count for _, count in reader.data_ranges(offset, length))
        assert ranges.bytes_within(0, offset, length) == expected
    reader.close()
