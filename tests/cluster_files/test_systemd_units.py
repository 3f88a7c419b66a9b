"""The units, by systemd's own tools; without them, only what the files say is checked."""

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.cluster_files import manifests

UNITS = sorted(path for path in (manifests.CLUSTER / "systemd").iterdir() if path.suffix != ".md")
SERVICES = [path for path in UNITS if path.suffix == ".service"]
MOST_EXPOSED = 20  # tenths, of 100


def systemd_analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze isn't installed")
    return found


def read(unit: Path) -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None, delimiters=["="], allow_no_value=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit.read_text())
    return parser


def named(path: Path) -> str:
    return path.name


def test_systemd_finds_nothing_to_say(tmp_path: Path) -> None:
    program = systemd_analyze()
    for unit in UNITS:
        # Its programs aren't installed here, and that would be all it has to say.
        text = re.sub(r"/opt/distexpand/bin/\w+", "/bin/true", unit.read_text())
        (tmp_path / unit.name).write_text(text)
    files = [str(tmp_path / unit.name) for unit in UNITS]
    done = subprocess.run([program, "verify", *files], capture_output=True, text=True, check=False)
    said = [
        line for line in done.stderr.splitlines() if any(unit.name.split("@")[0] in line for unit in UNITS)
    ]
    assert (done.returncode, said) == (0, [])


@pytest.mark.parametrize("unit", SERVICES, ids=named)
def test_services_are_confined(unit: Path) -> None:
    command = [systemd_analyze(), "security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager"]
    done = subprocess.run([*command, str(unit)], capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze can't judge a unit that isn't loaded")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("unit", SERVICES, ids=named)
def test_tokens_are_credentials_and_settings_come_from_one_file(unit: Path) -> None:
    service = read(unit)["Service"]
    assert service["LoadCredential"] == "ray-token:/etc/distexpand/ray-token"
    assert "Environment=RAY_AUTH_TOKEN_PATH=%d/ray-token" in unit.read_text()
    assert "EnvironmentFile=/etc/distexpand/ray.env" in unit.read_text()
    assert not set(manifests.settings()) & set(re.findall(r"\w+", service["Environment"]))


@pytest.mark.parametrize("unit", SERVICES, ids=named)
def test_quotes_of_commands_are_around_whole_words(unit: Path) -> None:
    # In the middle of a word systemd's rules leave open what they mean.
    command = read(unit)["Service"]["ExecStart"]
    assert re.findall(r"[^\s'\"]'[^']*'", re.sub(r"(?<=\s)'[^']*'(?=\s)", "", command)) == []


def test_the_batch_is_tried_again_unless_its_file_is_bad() -> None:
    service = read(manifests.CLUSTER / "systemd" / "distexpand-batch.service")["Service"]
    assert service["Type"] == "oneshot"
    assert service["SuccessExitStatus"].split() == ["75", "130"]
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"


def test_the_timer_makes_up_for_a_night_that_was_missed() -> None:
    timer = read(manifests.CLUSTER / "systemd" / "distexpand-batch.timer")["Timer"]
    assert timer["Persistent"] == "yes"
    done = subprocess.run(
        [systemd_analyze(), "calendar", timer["OnCalendar"]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
