"""What may go from a GPU node's disk, as data, and the units it becomes."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from fleet import desired, load
from fleet.cleanup import Cleanup, nonsense
from fleet.model import Fleet
from ipex_node.paths import Paths

GOOD = Cleanup(calendar="Sun 03:00", spread="2h", outputs_days=30, staged_days=2, rest_seconds=3600)


def _contents(fleet: Fleet, node: str) -> dict[str, str]:
    files = desired.generation(fleet[node], fleet).files
    return {file.path: file.content.decode() for file in files if file.path.startswith("/etc")}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"calendar": ""}, "cleanup.calendar is ''"),
        ({"calendar": "Sun 03:00; reboot"}, "cleanup.calendar is"),
        ({"spread": "two hours"}, "cleanup.spread is 'two hours'"),
        ({"outputs_days": 0}, "cleanup.outputs_days is 0"),
        ({"staged_days": 0}, "cleanup.staged_days is 0"),
        ({"rest_seconds": 5}, "cleanup.rest_seconds is 5"),
    ],
)
def test_nonsense_is_named(wrong: dict[str, Any], said: str) -> None:
    """Each value that cannot be meant is named, and that one only."""
    found = list(nonsense(dataclasses.replace(GOOD, **wrong)))

    assert len(found) == 1
    assert found[0][0].startswith(said)
    assert not list(nonsense(GOOD))


def test_nonsense_is_refused_at_the_border(tmp_path: Path) -> None:
    """The node and the key are named before anything is contacted."""
    path = tmp_path / "staging.py"
    settings = {**dataclasses.asdict(GOOD), "outputs_days": 0}
    path.write_text(
        f"gpu_nodes = [('gpu-01', {{'ssh_hostname': '198.18.0.11', 'cleanup': {settings!r}}})]\n"
        "gateways = [('gateway-01', {'ssh_hostname': '198.18.0.21'})]\n"
        "monitors = [('monitor-01', {'ssh_hostname': '198.18.0.31'})]\n"
    )

    with pytest.raises(load.RefusedError, match=r"gpu-01: cleanup\.outputs_days is 0"):
        load.from_file(str(path))


def test_only_gpu_nodes_are_cleaned_up(example: Fleet) -> None:
    """Gateways and monitors hold no closures and no outputs."""
    for node in example.nodes:
        units = desired.generation(node, example).manifest["units"]
        assert ("ipex-cleanup.timer" in units, "ipex-cleanup.path" in units) == (node.is_gpu, node.is_gpu)


def test_data_reaches_the_timer_and_the_program(example: Fleet) -> None:
    """The calendar stands in the timer, the ages in the program's settings."""
    odd = Cleanup(calendar="daily", spread="7min", outputs_days=11, staged_days=12, rest_seconds=1300)
    nodes = tuple(dataclasses.replace(node, cleanup=odd) if node.is_gpu else node for node in example.nodes)
    contents = _contents(dataclasses.replace(example, nodes=nodes), "gpu-01")

    timer = contents["/etc/systemd/system/ipex-cleanup.timer"].splitlines()
    assert {"OnCalendar=daily", "RandomizedDelaySec=7min", "Persistent=yes"} <= set(timer)
    assert json.loads(contents["/etc/ipex/node.json"])["cleanup"] == {
        "outputs": ["comfyui/output", "comfyui/temp"],
        "outputs_days": 11,
        "staged_days": 12,
        "rest_seconds": 1300,
    }


def test_what_a_run_was_worth_outlives_a_reboot(example: Fleet) -> None:
    """The unit's own directory is where the agent looks for its numbers."""
    unit = _contents(example, "gpu-01")["/etc/systemd/system/ipex-cleanup.service"].splitlines()

    assert {"StateDirectory=ipex-cleanup", "StateDirectoryMode=0755"} <= set(unit)
    assert str(Paths().samples("cleanup")) == "/var/lib/ipex-cleanup/samples.json"


def test_the_unit_reaches_only_directories_of_engines_that_leave_files(example: Fleet) -> None:
    """Ollama's models are out of its reach: they go through Ollama's own API, by hand."""
    unit = _contents(example, "gpu-01")["/etc/systemd/system/ipex-cleanup.service"]

    assert [line for line in unit.splitlines() if line.startswith("ReadWritePaths=")] == [
        "ReadWritePaths=/var/lib/ipex -/nix/var/nix/profiles/ipex",
        "ReadWritePaths=-/var/lib/private/comfyui",
    ]
