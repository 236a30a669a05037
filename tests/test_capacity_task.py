"""The capacity report, through the real command line, on the example fleet's fake nodes."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from fleet.growth import DAY_SECONDS
from tests.fake_fleet import FakeFleet

ASKED = "promtool query range"
QUESTIONS = 7


def said(resource: int, *series: dict[str, object]) -> list[str]:
    """What promtool prints: a line for each question, of which one has an answer."""
    return [json.dumps(list(series)) if place == resource else "[]" for place in range(QUESTIONS)]


def disk(share: float, per_day: float) -> dict[str, object]:
    """A disk of gpu-01 over 28 days that end today."""
    today = int(time.time() // DAY_SECONDS) * DAY_SECONDS
    values = [[today - ago * DAY_SECONDS, str(share - per_day * ago)] for ago in range(27, -1, -1)]
    return {"metric": {"node": "gpu-01", "mountpoint": "/"}, "values": values}


def test_the_report_is_a_table_for_people(nodes: FakeFleet) -> None:
    """A disk at 80 % that grows by 1 % a day is full in 20 days; of the rest nothing is known, and that is said."""
    nodes.answer("monitor-01", ASKED, *said(0, disk(0.8, 0.01)))

    run = nodes.run(deploy="tasks/capacity.py")

    assert run.status == 0, run.output
    full = time.strftime("%Y-%m-%d", time.gmtime((time.time() // DAY_SECONDS + 20) * DAY_SECONDS))
    rows = [" ".join(line.split()) for line in run.output.splitlines()]
    assert f"disk gpu-01 / 28 80.00 % 20.00 % 1.00 % ± 0.00 % {full}" in rows
    assert "users fleet 0 - - - no data" in rows
    assert "Nothing can be said of nodes yet: it takes 7 days of their work." in rows


def test_the_report_is_json_for_programs(nodes: FakeFleet) -> None:
    """Standard output is one JSON document, with all numbers whole."""
    nodes.answer("monitor-01", ASKED, *said(0, disk(0.8, 0.01)))

    run = nodes.run("--json", deploy="tasks/capacity.py")

    answer = json.loads(run.stdout)
    row = answer["resources"][0]
    assert (answer["environment"], answer["confidence"], answer["add"]) == ("example", 0.95, None)
    assert (row["resource"], row["where"], row["days"]) == ("disk", "gpu-01 /", 28)
    assert row["head_room"] == pytest.approx(0.2)
    assert row["growth_per_day"]["expected"] == pytest.approx(0.01)
    assert answer["resources"][-1]["full"] is None


def test_nodes_to_add_are_named_with_a_date(nodes: FakeFleet) -> None:
    """Three nodes that do 1.5 nodes' work, and 0.02 more each day: 2.1 in 30 days, 3.3 in 90, which takes five."""
    work = {**disk(1.5, 0.02), "metric": {}}
    nodes.answer("monitor-01", ASKED, *said(QUESTIONS - 1, work))

    run = nodes.run(deploy="tasks/capacity.py")

    day = time.strftime("%Y-%m-%d", time.gmtime((time.time() // DAY_SECONDS + 30) * DAY_SECONDS))
    assert f"Add 2 nodes, for the next 90 days, by {day}." in run.output


def test_one_monitor_is_asked_once_and_nobody_else_anything(nodes: FakeFleet) -> None:
    """One command in all; it changes nothing."""
    nodes.answer("monitor-01", ASKED, *said(0))

    run = nodes.run(deploy="tasks/capacity.py")

    assert {node: len(commands) for node, commands in run.commands.items()} == {"monitor-01": 1}


@pytest.mark.parametrize("lines", [["null"] * QUESTIONS, []])
def test_a_prometheus_that_does_not_answer_is_no_empty_report(nodes: FakeFleet, lines: list[str]) -> None:
    """The run fails and says where to look."""
    nodes.answer("monitor-01", ASKED, *lines)

    run = nodes.run(deploy="tasks/capacity.py")

    assert run.status == 1
    assert "No Prometheus of monitor-01 has answered" in run.output


def test_a_question_that_fails_does_not_take_the_others_with_it(nodes: FakeFleet) -> None:
    """It counts as one without data."""
    lines = said(0, disk(0.8, 0.01))
    lines[1] = "null"
    nodes.answer("monitor-01", ASKED, *lines)

    run = nodes.run(deploy="tasks/capacity.py")

    assert run.status == 0, run.output
    assert "28    80.00 %" in run.output


def test_the_command_is_what_a_shell_runs(nodes: FakeFleet, tmp_path: Path) -> None:
    """With a promtool that tells its last word, every question arrives whole, quotes and braces included."""
    nodes.answer("monitor-01", ASKED, *said(0))
    command = nodes.run(deploy="tasks/capacity.py").commands["monitor-01"][0]
    program = tmp_path / "promtool"
    program.write_text('#!/bin/sh\nfor last; do :; done\nprintf "%s\\n" "$last"\n')
    program.chmod(0o755)

    ran = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}
    )

    assert len(ran.stdout.splitlines()) == QUESTIONS
    assert 'fstype!~"tmpfs|ramfs|overlay|squashfs|vfat|efivarfs"' in ran.stdout
