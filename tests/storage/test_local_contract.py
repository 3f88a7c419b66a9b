"""Local files keep the contract of a store."""

import pytest

from distexpand.storage.local import WORK_DIRECTORY, LocalOutput, LocalSource
from tests.storage.contract import OutputContract, SourceContract


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


class TestLocalOutput(OutputContract):
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
