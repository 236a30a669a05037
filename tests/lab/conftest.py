"""The lab's five real nodes, booted and deployed once for all its tests."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import machine, nodes
from lab.roster import Node

ROOT = Path(__file__).parents[2]
PYINFRA = Path(sys.executable).with_name("pyinfra")
INVENTORY = Path("inventory/lab.py")


@dataclass(frozen=True)
class Lab:
    """The running lab, as its tests see it."""

    def run(self, node: str, command: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command on a node as root, whatever its exit status."""
        return nodes.run(nodes.find(node), command, seconds)

    def output(self, node: str, command: str) -> str:
        """Run a command on a node that must succeed, and return what it printed."""
        result = self.run(node, command)
        assert result.returncode == 0, f"{node}: {command}\n{result.stdout}{result.stderr}"
        return result.stdout.strip()

    def status(self, node: str) -> dict[str, object]:
        """What `ipex-node status` says of a node."""
        status: dict[str, object] = json.loads(self.output(node, "ipex-node status"))
        return status

    def deploy(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the real command: `pyinfra ARGUMENTS inventory/lab.py deploy.py`."""
        return subprocess.run(
            [PYINFRA, *arguments, str(INVENTORY), "deploy.py"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=500,
        )

    def node(self, name: str) -> Node:
        """How to reach a node."""
        return nodes.find(name)


@pytest.fixture(scope="session")
def booted() -> Iterator[Lab]:
    """The lab's nodes, running; taken down again where these tests booted them."""
    if obstacle := machine.obstacle():
        reason = f"the lab cannot run here: {obstacle}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"with CI=true nothing is skipped; {reason}")
        pytest.skip(reason)
    was_running = {node.name for node in nodes.running()}
    nodes.up(ROOT / INVENTORY)
    yield Lab()
    if not was_running:
        nodes.down()


@pytest.fixture(scope="session")
def lab(booted: Lab) -> Lab:
    """The lab's nodes, deployed by the real command."""
    run = booted.deploy("-y")
    assert run.returncode == 0, run.stdout
    return booted
