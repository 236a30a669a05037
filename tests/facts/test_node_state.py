"""The one question, asked of a shell with trees that stand for hardware."""

import subprocess
from pathlib import Path

import pytest

from facts.node_state import NodeState
from fleet.observed import Observed, ObservedGpu
from lab import hardware


def _ask(tmp_path: Path, kind: str, *packages: str) -> Observed:
    hardware.write(tmp_path, kind)
    command = NodeState().command(f"{tmp_path}/sysfs", f"{tmp_path}/proc", packages)
    answer = subprocess.run(["sh", "-c", command.get_raw_value()], capture_output=True, text=True, check=True)
    return NodeState().process(answer.stdout.splitlines())


@pytest.mark.parametrize(
    ("kind", "gpus"),
    [
        ("a770-i915", (ObservedGpu("0000:03:00.0", "8086:56a0", "i915"),)),
        ("b580-xe", (ObservedGpu("0000:03:00.0", "8086:e20b", "xe"),)),
        ("meteor-lake-igpu", (ObservedGpu("0000:00:02.0", "8086:7d55", "i915"),)),
        ("no-gpu", ()),
    ],
)
def test_gpus_are_found_by_class_and_vendor(tmp_path: Path, kind: str, gpus: tuple[ObservedGpu, ...]) -> None:
    """Intel's display devices are listed with their slot, id and driver."""
    assert _ask(tmp_path, kind).gpus == gpus


def test_a_gpu_without_a_driver_is_seen(tmp_path: Path) -> None:
    """No driver bound is an empty name, not a missing GPU."""
    (gpu,) = _ask(tmp_path, "no-driver").gpus

    assert gpu.driver == ""


def test_two_gpus_are_two(tmp_path: Path) -> None:
    """A node may hold several."""
    assert len(_ask(tmp_path, "two-gpus").gpus) == 2


def test_memory_is_in_bytes(tmp_path: Path) -> None:
    """MemTotal's kibibytes become bytes: about 32 GB here."""
    assert 30 * 10**9 < _ask(tmp_path, "a770-i915").memory_bytes < 35 * 10**9


def test_only_installed_packages_are_named(tmp_path: Path) -> None:
    """A package that dpkg does not know is not in the answer."""
    assert _ask(tmp_path, "no-gpu", "no-such-package-1").packages == frozenset()


def test_status_is_read_from_the_nodes_own_line() -> None:
    """The JSON line of ipex-node is the status; a fresh machine has none."""
    lines = ["distribution debian:13", "memory 1024", "package installed nginx", "package config-files prometheus"]
    answer = NodeState().process([*lines, '{"ok": true, "generation": "abc"}'])

    assert answer.status == {"ok": True, "generation": "abc"}
    assert answer.packages == frozenset({"nginx"})
    assert NodeState().process(lines).status == {}


def test_a_machine_that_answers_nothing_is_nothing_known() -> None:
    """An empty answer makes no crash: fitness then says what is missing."""
    assert NodeState().default() == Observed()
