"""Every test is in one suite, and what a test requires is asked of the fleet."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import suites
from tests.suites import SUITES
from tests.target import NEEDS, Target, has, read

ROOT = Path(__file__).parents[1]
ARC = {"gpus": [{"product": "Arc A770", "driver": "i915"}], "memory_bytes": 33_435_537_408}


@pytest.mark.parametrize(
    ("markers", "suite"),
    [
        ([], "unit"),
        (["timeout", "parametrize"], "unit"),
        (["lab"], "integration"),
        (["lab", "proof"], "integration"),
        (["target"], "integration"),
        (["lab", "security"], "security"),
        (["target", "performance"], "performance"),
    ],
)
def test_a_test_without_a_suite_has_one_by_what_it_needs(markers: list[str], suite: str) -> None:
    """A node makes it integration, nothing makes it unit; what it names is its own."""
    assert suites.of(markers) == suite


def test_two_suites_are_refused() -> None:
    """Both are named."""
    with pytest.raises(ValueError, match="integration and security"):
        suites.of(["lab", "security", "integration"])


def test_every_test_of_this_run_is_in_one_suite(request: pytest.FixtureRequest) -> None:
    """And requires only what a node can be asked for."""
    for item in request.session.items:
        markers = {marker.name for marker in item.iter_markers()}
        assert len(markers & set(SUITES)) == 1, item.nodeid
        assert set(suites.wanted_by(item)) <= set(NEEDS), item.nodeid
        assert not suites.wanted_by(item) or "target" in markers, item.nodeid


def test_the_time_limits_are_the_brief_s() -> None:
    """30, 60, 120 and 45 minutes."""
    assert {name: suite.minutes for name, suite in SUITES.items()} == {
        "unit": 30,
        "integration": 60,
        "performance": 120,
        "security": 45,
    }


@pytest.mark.parametrize(
    ("machine", "need", "answer"),
    [
        (ARC, "intel-gpu", True),
        (ARC, "16gb-ram", True),
        ({**ARC, "gpus": []}, "intel-gpu", False),
        ({**ARC, "gpus": [{"product": "Arc B580", "driver": None}]}, "intel-gpu", False),
        # Sold with 16 GB, and with 8.
        ({**ARC, "memory_bytes": 16_300_000_000}, "16gb-ram", True),
        ({**ARC, "memory_bytes": 8_200_000_000}, "16gb-ram", False),
        ({**ARC, "memory_bytes": None}, "16gb-ram", False),
    ],
)
def test_a_machine_is_asked_for_what_is_required(machine: dict[str, object], need: str, *, answer: bool) -> None:
    """By what its doctor sees."""
    assert has(machine, need) is answer


def test_an_unknown_need_is_an_error() -> None:
    """It would be fulfilled by nobody, or by everybody."""
    with pytest.raises(KeyError, match="gpu"):
        has(ARC, "gpu")


def test_a_node_that_does_not_answer_has_nothing() -> None:
    """And one that does is judged by its answer."""
    target = Target(Path("inventory/prod.py"), {"gpu-01": {"machine": ARC}})

    assert target.lacks("gpu-01", ("intel-gpu", "16gb-ram")) == []
    assert target.lacks("gpu-02", ("intel-gpu", "16gb-ram")) == ["intel-gpu", "16gb-ram"]


def test_answers_are_read_from_what_pyinfra_prints() -> None:
    """One JSON object a node, among lines for people."""
    printed = (
        f"--> Starting\n[gpu-01]     memory   33 GB\n[gpu-01]     {json.dumps({'ok': True})}\n    [gpu-01]     Success"
    )

    assert read(printed) == {"gpu-01": {"ok": True}}


def test_a_real_fleet_is_left_alone_by_what_changes_nodes() -> None:
    """Only tests that ask and change nothing are left, and the run says whom it asks and what it left out."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--inventory=inventory/prod.py"]
    command += ["tests/integration", "tests/performance", "tests/lab/test_converge.py", "tests/test_shape.py"]
    run = subprocess.run(
        [*command, "--suite=integration"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )

    collected = [line for line in run.stdout.splitlines() if "::" in line]
    assert collected
    assert {line.partition("::")[0] for line in collected} == {"tests/integration/test_fleet.py"}
    assert "they change nodes, and run on the lab's alone" in run.stdout
    assert "inventory/prod.py: a real fleet, asked and not changed" in run.stdout
