"""The seal repeats a status only while nothing has changed."""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipex_node import backup
from ipex_node.health import verdict
from ipex_node.seal import sealed_status
from ipex_node.world import Completed, World, run
from tests.ipex_node.fake_node import OLLAMA, FakeNode

CONDEMNED = verdict.Verdict(services={"ollama": verdict.Condemned("ollama:gpu", "on the CPU")})
UNIT_FILE = f"/etc/systemd/system/{OLLAMA}"


@pytest.fixture
def world(node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The fake node's world with a real shell, whose systemctl says what a file says."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text(f"#!/bin/sh\ncat {tmp_path}/units\n")
    (programs / "systemctl").chmod(0o755)
    (tmp_path / "units").write_text("ActiveState=active\n")
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr("os.geteuid", lambda: 0)

    def both(command: Sequence[str], *, show: bool = False) -> Completed:
        return run(command, show=show) if command[0] == "sh" else node.world.run(command, show=show)

    return replace(node.world, run=both)


def _repeated(world: World) -> dict[str, Any] | None:
    done = subprocess.run(["sh", world.paths.seal], capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def test_an_unchanged_node_repeats_its_status(world: World, served: str) -> None:
    """The script prints the very answer that Python gave."""
    answer = sealed_status(world)

    assert answer["generation"] == served
    assert _repeated(world) == answer


@pytest.mark.parametrize(
    "change",
    [
        lambda node, _: node.on(UNIT_FILE).write_text("by hand"),
        lambda node, _: node.on(UNIT_FILE).unlink(),
        lambda node, _: node.on(UNIT_FILE).chmod(0o600),
        lambda node, _: node.on("/var/lib/ipex/verified").write_text("x"),
        lambda node, _: node.on("/var/lib/ipex/previous").symlink_to("generations/x"),
        lambda node, _: (node.on("/run/ipex").mkdir(exist_ok=True), node.on("/run/ipex/drain").write_text("{}")),
        lambda node, _: verdict.write(
            node.world.paths.verdict,
            verdict.Verdict(services={"ollama": verdict.Condemned("ollama:gpu", "on the CPU")}),
        ),
        lambda node, _: backup.done(node.world.paths, "models"),
        lambda _, tmp_path: (tmp_path / "units").write_text("ActiveState=failed\n"),
    ],
    ids=["edited", "removed", "mode", "verified", "previous", "drained", "condemned", "backup", "unit-failed"],
)
def test_any_change_breaks_the_seal(
    world: World, served: str, node: FakeNode, tmp_path: Path, change: Callable[[FakeNode, Path], object]
) -> None:
    """After a change the script answers nothing, so that Python is asked."""
    assert served
    sealed_status(world)
    change(node, tmp_path)

    assert _repeated(world) is None


@pytest.mark.parametrize("what", ["pipe", "link", "endless"])
def test_a_verdict_that_is_none_keeps_nobody_waiting(world: World, served: str, tmp_path: Path, what: str) -> None:
    """Its owner is not root, who repeats the seal in every run: neither a pipe nor a file without end holds him up."""
    path = world.paths.verdict
    path.parent.mkdir(parents=True)
    if what == "pipe":
        os.mkfifo(path)
    elif what == "link":
        (tmp_path / "secret").write_text("secret")
        path.symlink_to(tmp_path / "secret")
    else:
        with path.open("wb") as file:
            file.truncate(1 << 40)

    answer = sealed_status(world)
    assert (answer["generation"], answer["condemned"]) == (served, {})
    done = subprocess.run(["sh", world.paths.seal], capture_output=True, text=True, check=False, timeout=10)
    assert json.loads(done.stdout) == answer
    if what == "link":
        (tmp_path / "secret").write_text("another")
        assert _repeated(world) == answer


def test_a_drifted_node_is_not_sealed(world: World, served: str, node: FakeNode) -> None:
    """What differs is looked at anew each time."""
    assert served
    sealed_status(world)
    node.on(UNIT_FILE).write_text("by hand")

    assert sealed_status(world)["drift"]
    assert not world.paths.seal.exists()


def test_a_machine_without_a_generation_is_not_sealed(world: World) -> None:
    """There is nothing to compare with yet."""
    sealed_status(world)

    assert not world.paths.seal.exists()
