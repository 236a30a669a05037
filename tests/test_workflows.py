"""The public CI's workflows: read, pinned, and with no more rights than they need."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.suites import SUITES

pytestmark = pytest.mark.security

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
_PINNED = re.compile(r"^\s*(?:- )?uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
_MAKE = re.compile(r"^([a-z-]+):", re.MULTILINE)


def _read(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(path.read_text())
    return read


def _jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in FILES:
        for name, job in _read(path)["jobs"].items():
            yield f"{path.name} {name}", job


JOBS = dict(_jobs())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_say_their_version(path: Path) -> None:
    """A tag can be moved, a commit cannot; the version is for people and for updates."""
    used = [line for line in path.read_text().splitlines() if "uses:" in line]

    assert used
    assert [line for line in used if not _PINNED.match(line)] == []


def test_an_action_has_one_pin() -> None:
    """Otherwise an update would be forgotten in one place."""
    pins: dict[str, set[str]] = {}
    for action, pin in re.findall(r"uses: (\S+)@(\S+)", "".join(path.read_text() for path in FILES)):
        pins.setdefault(action, set()).add(pin)

    assert {action for action, known in pins.items() if len(known) > 1} == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_workflow_has_no_right_that_a_job_does_not_ask_for(path: Path) -> None:
    """And no job asks for more than to read the repository."""
    assert _read(path)["permissions"] == {}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_may_read_and_ends(name: str) -> None:
    """It leaves no token in the checkout, and has a time limit."""
    job = JOBS[name]
    checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]

    assert job["permissions"] == {"contents": "read"}
    assert 0 < job["timeout-minutes"] <= max(suite.minutes for suite in SUITES.values())
    assert [step["with"]["persist-credentials"] for step in checkouts] == [False]


@pytest.mark.parametrize("name", JOBS)
def test_a_job_runs_what_there_is(name: str) -> None:
    """Each `make` has its target."""
    targets = set(_MAKE.findall((ROOT / "Makefile").read_text()))
    commands = [step["run"] for step in JOBS[name]["steps"] if "run" in step]
    assert commands
    for command in commands:
        if command.startswith("make "):
            words = [word for word in command.split()[1:] if "=" not in word and "$" not in word]
            assert set(words) <= targets


def test_a_runner_of_our_own_runs_no_stranger_s_change() -> None:
    """Self-hosted jobs are started by hand, and wait for whoever guards their environment."""
    own = {name: job for name, job in JOBS.items() if "self-hosted" in job["runs-on"]}

    assert own
    for name, job in own.items():
        # YAML 1.1 reads the key `on` as True.
        assert set(_read(ROOT / ".github/workflows" / name.split()[0])[True]) == {"workflow_dispatch"}  # type: ignore[index]
        assert job["environment"]
        assert "intel-gpu" in job["runs-on"]
        assert set(job["strategy"]["matrix"]["suite"]) <= set(SUITES)
