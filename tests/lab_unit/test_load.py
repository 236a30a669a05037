"""A load notices whatever a user would."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lab import load
from lab.state import LabError
from tests.lab_unit.fake_gateway import FakeGateway

ROOT = Path(__file__).parents[2]


def _start(port: int, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lab", "load", "127.0.0.1", "--plain", "--port", str(port)]
    command += ["--clients", "8", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _run(harm: str) -> tuple[int, dict[str, Any]]:
    with FakeGateway(harm) as gateway:
        process = _start(gateway.port, "--seconds", "0.6", "--pause", "0.1", "--stream-seconds", "1")
        output, _ = process.communicate(timeout=30)
    report: dict[str, Any] = json.loads(output)
    return process.returncode, report


def test_a_sound_gateway_loses_nothing() -> None:
    """Every kind is asked for, every answer is whole, and the exit status says so."""
    status, report = _run("")

    assert status == 0
    assert (report["errors"], report["truncated"], report["lost"], report["noted"]) == (0, 0, 0, [])
    assert all(row["requests"] > 0 for row in report["kinds"].values())
    assert report["kinds"]["stream"]["p50_seconds"] >= 1
    assert report["longest_gap_seconds"] < 0.6


@pytest.mark.parametrize(
    ("harm", "kind", "counted", "said"),
    [
        ("cut", "stream", "truncated", "the answer ended before its end"),
        ("undone", "stream", "truncated", "ended a stream with"),
        ("error502", "plain", "errors", "502"),
        ("forgotten", "prompt", "lost", "knows nothing of a prompt"),
    ],
)
def test_a_broken_gateway_is_noticed(harm: str, kind: str, counted: str, said: str) -> None:
    """What a user would miss is counted where it belongs, with its reason, and the exit status says so."""
    status, report = _run(harm)
    row = report["kinds"][kind]

    assert status == 1
    assert row[counted] == row["requests"] > 0
    assert [note for note in report["noted"] if note["kind"] == kind and said in note["why"]]


def test_a_prompt_whose_result_comes_all_the_same_is_not_lost() -> None:
    """The events break off, the result is fetched: the session moved, nothing else."""
    status, report = _run("silent")
    row = report["kinds"]["prompt"]

    assert status == 0
    assert row["moved"] == row["requests"] > 0


def test_sigterm_lets_what_was_begun_come_to_its_end() -> None:
    """A stream that runs when the signal comes is finished and counted, and nothing new begins."""
    with FakeGateway() as gateway:
        process = _start(gateway.port, "--seconds", "20", "--stream-seconds", "2", "--token-seconds", "0.02")
        time.sleep(2.5)
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        output, _ = process.communicate(timeout=30)
    report = json.loads(output)

    assert report["ok"]
    assert report["kinds"]["stream"]["requests"] >= 4
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "gateway.example.org", "198.20.0.1"])
def test_no_other_network_is_a_target(address: str) -> None:
    """A crowd is sent nowhere but to the lab."""
    with pytest.raises(LabError, match="no target"):
        load.target(address, 80, "")


def test_the_crowd_is_shared_out_whole() -> None:
    """Every user has a kind, whatever the crowd's size."""
    assert Counter(load.kinds(100)) == {"stream": 60, "plain": 25, "prompt": 15}
    assert [len(load.kinds(count)) for count in range(1, 30)] == list(range(1, 30))
