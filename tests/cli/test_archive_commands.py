"""`pack` and `unpack`: there and back, errors in words, and an interrupt that leaves nothing."""

import signal
import subprocess
import time

import pytest

from distexpand.formats.archive_index import ARCHIVE_NAME
from distexpand.storage.local.directories import WORK_DIRECTORY
from tests.api.small import COPIES, tree
from tests.cli.calls import command
from tests.storage.contract import noise
from tests.support.archives import restored_by_zstd


@pytest.mark.parametrize("options", [(), ("--dense",), ("--level", "9"), ("--threads", "1")])
def test_there_and_back(cli, model, tmp_path, options):
    archive, out = tmp_path / "archive", tmp_path / "out"
    packed = cli("pack", model, archive, *options)
    assert packed.code == 0
    assert not packed.out
    assert str(archive) in packed.err
    unpacked = cli("unpack", archive, out)
    assert (unpacked.code, unpacked.out) == (0, "")
    assert tree(out) == tree(model)


def test_zstd_opens_what_was_packed(cli, model, tmp_path):
    assert cli("pack", model, tmp_path / "archive", "--quiet").err == ""
    for path in model.glob("*.safetensors"):
        assert restored_by_zstd(tmp_path / "archive" / f"{path.name}.zst") == path.read_bytes()


def test_an_expansion_is_packed_unpacked_and_verified(cli, model, tmp_path):
    recipe = tmp_path / "recipe.yml"
    recipe.write_text(COPIES)
    out, archive, again = tmp_path / "out", tmp_path / "archive", tmp_path / "again"
    assert cli("run", recipe, out, "--model", f"a={model}").code == 0
    document = cli("pack", out, archive, "--dense", "--json").document
    assert document["bytes"] == sum(map(len, tree(out).values()))
    assert document["archive_bytes"] == sum(map(len, tree(archive).values()))
    assert document["repeated_bytes"] > 0
    assert document["form"] == "dense"
    assert cli("verify", archive, "--sources", "--model", f"a={model}").code == 0
    refused = cli("verify", archive, "--record")
    assert refused.code == 2
    assert "--record can't change an archive" in refused.err
    assert cli("unpack", archive, again, "--json").document["bytes"] == document["bytes"]
    assert cli("verify", again, "--sources", "--model", f"a={model}").code == 0


def test_what_is_left_out_is_said(cli, model, tmp_path):
    (model / ".git").mkdir()
    assert "left out: .git" in cli("pack", model, tmp_path / "archive", "--quiet").err
    assert cli("pack", model, tmp_path / "other", "--json").document["left_out"] == [".git"]


def test_wrong_calls_are_errors_in_words(cli, model, tmp_path):
    archive = tmp_path / "archive"
    assert cli("pack", tmp_path / "missing", archive).code == 2
    assert "no such directory" in cli("pack", tmp_path / "missing", archive).err
    assert "is no archive" in cli("unpack", model, tmp_path / "out").err
    missing = cli("unpack", tmp_path / "missing", tmp_path / "out")
    assert (missing.code, "missing: no such directory" in missing.err) == (2, True)
    assert cli("pack", model, archive).code == 0
    again = cli("pack", model, archive)
    assert (again.code, "isn't empty" in again.err) == (2, True)
    assert "archive already" in cli("pack", archive, tmp_path / "b").err
    assert "lies in" in cli("pack", model, model / "archive").err
    assert "lies in" in cli("unpack", archive, archive).err
    assert cli("pack", model, tmp_path / ("x" * 300)).code == 1
    assert cli("pack", model, archive, "--level", "99").code == 2


def test_a_damaged_archive_is_an_error_that_names_the_file(cli, model, tmp_path):
    cli("pack", model, tmp_path / "archive")
    path = min((tmp_path / "archive").glob("*.safetensors.zst"))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    failed = cli("unpack", tmp_path / "archive", tmp_path / "out")
    assert failed.code == 1
    assert path.name in failed.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_pack_leaves_no_archive_and_can_be_called_again(cli, tmp_path, number):
    model, archive = tmp_path / "model", tmp_path / "archive"
    model.mkdir()
    (model / "model.bin").write_bytes(noise(1_000_000) * 150)
    call = ["pack", model, archive, "--threads", "1", "--level", "3"]
    process = subprocess.Popen(command(*call), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    staged = archive / WORK_DIRECTORY / "archive" / "files" / "0"
    while not (staged.exists() and staged.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == (130 if number is not signal.SIGKILL else -signal.SIGKILL), err
    assert "Traceback" not in err
    if number is not signal.SIGKILL:
        assert not archive.exists()
    assert not (archive / ARCHIVE_NAME).exists()
    assert cli(*call).code == 0
    assert restored_by_zstd(archive / "model.bin.zst") == (model / "model.bin").read_bytes()
