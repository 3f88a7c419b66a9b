"""Local files keep the contract of a store."""

import pytest

from distexpand.storage.local.direct import PAGE
from distexpand.storage.local.directories import WORK_DIRECTORY, LocalOutput, LocalSource
from distexpand.storage.local.way import Way
from tests.storage.contract import RewritableOutputContract, SourceContract, read
from tests.support.transfers import (
    DIRECT_READ,
    DIRECT_WRITTEN,
    READ,
    WRITTEN,
    counted_transfers,
    filled,
    small_limits,
    takes_direct_io,
)


class TestLocalSource(SourceContract):
    @pytest.fixture
    def source(self, tmp_path):
        def make(files):
            for name, raw in files.items():
                path = tmp_path / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(raw)
            return LocalSource(tmp_path)

        return make


class TestLocalOutput(RewritableOutputContract):
    @pytest.fixture
    def output(self, tmp_path):
        (tmp_path / WORK_DIRECTORY / "attempts").mkdir(parents=True)
        return LocalOutput(tmp_path / WORK_DIRECTORY / "attempts")

    @pytest.fixture(autouse=True)
    def no_final_name(self, tmp_path):
        """Nothing that an attempt does shows under a final name."""
        yield
        assert [path.name for path in tmp_path.iterdir()] == [WORK_DIRECTORY]


class TestLocalSourceWithHoles(SourceContract):
    """The same contract where zeros are holes."""

    @pytest.fixture
    def source(self, tmp_path):
        def make(files):
            for name, raw in files.items():
                path = tmp_path / name
                path.parent.mkdir(exist_ok=True)
                with path.open("wb") as file:
                    file.truncate(len(raw))
                    for start in range(0, len(raw), 4096):
                        block = raw[start : start + 4096]
                        if any(block):
                            file.seek(start)
                            file.write(block)
            return LocalSource(tmp_path)

        return make


@pytest.fixture
def moved():
    """Let even small runs move directly, and count what does."""
    with small_limits(), counted_transfers() as moved:
        yield moved


class SourceReadBy(LocalSource):
    """A store whose files are read in one way."""

    def __init__(self, root, way):
        super().__init__(root)
        self._way = way

    def open(self, path):
        reader = super().open(path)
        reader.read_by(self._way)
        return reader


@pytest.mark.usefixtures("moved")
@pytest.mark.parametrize("way", Way)
class TestLocalSourceByEachWay(TestLocalSource):
    """The same contract in each way of reading, on every kind of file system."""

    @pytest.fixture
    def source(self, any_place, way):
        def make(files):
            for name, raw in files.items():
                path = any_place / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(raw)
            return SourceReadBy(any_place, way)

        return make


@pytest.mark.usefixtures("moved")
@pytest.mark.parametrize("way", Way)
class TestLocalOutputByEachWay(RewritableOutputContract):
    """The same contract in each way of writing, on every kind of file system."""

    @pytest.fixture
    def output(self, any_place, way):
        return LocalOutput(any_place, way=way, shares=True)


def test_the_contracts_see_direct_transfers(any_place, moved):
    """Else those above would say nothing of them."""
    if not takes_direct_io(any_place):
        pytest.skip("no direct I/O on this file system")
    (any_place / "source").write_bytes(bytes(100_003))
    reader = SourceReadBy(any_place, Way.DIRECT).open("source")
    read(reader, 5, 99_000)
    reader.close()
    assert (moved[DIRECT_READ], moved[READ]) == (95_904 // PAGE * PAGE, 99_000 - 95_904 // PAGE * PAGE)
    with LocalOutput(any_place, way=Way.DIRECT).begin("x", 100_003) as attempt:
        attempt.write(5, filled(5, bytes(99_000)))
        assert (moved[DIRECT_WRITTEN], moved[WRITTEN]) == (moved[DIRECT_READ], 0)
        attempt.finish()
    assert moved[WRITTEN] == moved[READ]
