"""Each alert fires for what it is for, and not for what looks like it, as promtool on a machine or a node has it."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fleet import alerts
from fleet.model import Fleet
from tests.rules import promises, suite

if TYPE_CHECKING:
    from tests.lab_fleet import Lab

pytestmark = pytest.mark.lab

Promtool = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def written(example: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example fleet's rules with their tests."""
    directory = tmp_path_factory.mktemp("rules")
    suite.write(example, directory)
    return directory


@pytest.fixture(scope="module")
def promtool(written: Path, request: pytest.FixtureRequest) -> Promtool:
    """This machine's promtool; where it has none, the one that the deploy has put on the lab's monitor."""
    if shutil.which("promtool"):
        return lambda *words: subprocess.run(
            ["promtool", *words], cwd=written, capture_output=True, text=True, check=False
        )
    lab: Lab = request.getfixturevalue("lab")
    monitor = lab.names("monitors")[0]
    lab.push(monitor, written, "/tmp/ipex-rules")  # noqa: S108 - on a node of the lab, gone with it
    return lambda *words: lab.run(monitor, f"cd /tmp/ipex-rules && promtool {' '.join(words)}", 300)


def test_rules_are_rules(promtool: Promtool) -> None:
    """Nothing is there twice."""
    result = promtool("check", "rules", "--lint-fatal", *suite.RULES)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", ["cases_1m", "cases_10m", "cases_1h", *promises.files([])])
def test_rules_do_what_they_say(promtool: Promtool, name: str) -> None:
    """Played by promtool: every case's series; alerts, labels and sentences are compared."""
    result = promtool("test", "rules", f"{name}.json")

    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_has_a_case() -> None:
    """One that fires it, and but for the watchdog one that does not; objectives have theirs in promises.py."""
    burning = {promises.FAST, promises.SLOWLY}

    assert {case.alert for case in suite.CASES if case.fires} | burning == alerts.NAMES
    assert {case.alert for case in suite.CASES if case.silent} | burning | {"Watchdog"} == alerts.NAMES
