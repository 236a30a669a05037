"""The lab remembers what to undo, and never signals a stranger."""

import dataclasses
import os
import subprocess
from pathlib import Path

import pytest

from lab import state
from lab.state import LabError, Ledger, NodeRecord, Process


def test_a_reused_pid_is_not_the_recorded_process() -> None:
    """A pid with another start time belongs to another program."""
    own = Process.of(os.getpid())
    assert own.alive()
    assert not dataclasses.replace(own, start=own.start + 1).alive()


def test_a_process_of_an_earlier_boot_is_dead() -> None:
    """After a reboot of the machine the same pid and ticks may come again."""
    own = Process.of(os.getpid())
    assert not dataclasses.replace(own, machine_boot="another").alive()


def test_a_zombie_is_dead() -> None:
    """A node whose parent has not collected it yet runs no more."""
    with subprocess.Popen(["true"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.read()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert state.start_time(child.pid) is None


def test_the_ledger_comes_back_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one run has noted, the next can undo."""
    monkeypatch.setattr(state, "STATE", tmp_path)
    ledger = Ledger(
        nodes={"gpu-01": NodeRecord("198.18.0.11", ["gpu_nodes"], "root", "/tree", Process(7, 8, "boot"))},
        mirror=Process(9, 10, "boot"),
        kernel_limits={"fs/inotify/max_user_instances": "128"},
        made_netns_directory=True,
    )
    ledger.save()
    assert Ledger.load() == ledger


def test_a_damaged_ledger_is_an_error_with_a_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guessing would leave nodes running that nobody knows."""
    monkeypatch.setattr(state, "STATE", tmp_path)
    (tmp_path / "state.json").write_text('{"nodes": 3')
    with pytest.raises(LabError, match="remove it"):
        Ledger.load()
