"""A disk that is full at each step of a backup and of a restore: nothing is lost, and what is said has a cure."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.lab_fleet import Lab

pytestmark = [pytest.mark.lab, pytest.mark.proof, pytest.mark.timeout(600)]

SCRIPT = Path(__file__).with_name("small_disk.py")


def _by(rows: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    found = [row for row in rows if row["what"] == what]
    print("\n".join(f"{what}, {row['room']} KiB free: {'made' if row['ok'] else row['why'][:160]}" for row in found))
    return found


def test_a_full_disk_loses_nothing_at_any_step(lab: Lab) -> None:
    """From no room at all to enough: each attempt is whole or leaves all as it was, and the next one succeeds."""
    node = lab.gpus[0]
    lab.output(node, f"cat > /run/small_disk.py <<'END'\n{SCRIPT.read_text()}\nEND")
    run = lab.run(node, "python3 /run/small_disk.py; rm /run/small_disk.py", 580)
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert rows, run.stderr
    assert rows[-1]["what"] == "restore's reserve", run.stderr

    # Before anything is written it is looked whether there is room; the numbers say how much is to be freed.
    for what in ("reserve", "restore's reserve"):
        (row,) = _by(rows, what)
        assert not row["ok"]
        assert "are wanted" in row["why"]
        assert "ipex-node cleanup --dry" in row["why"]
    for what in ("backup, var full", "backup, elsewhere full", "restore"):
        found = _by(rows, what)
        assert {row["ok"] for row in found} == {True, False}, what
        for row in found:
            assert row["same"], row
            assert row["kept"], row
            assert row["left"] == [], row
            assert row["again"][0], row
            assert row["ok"] or "no space left on device" in row["why"].lower() or "full" in row["why"], row
