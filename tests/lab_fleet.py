"""The lab's five real nodes, as its tests see them."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lab import keys, nodes
from lab.roster import Node

ROOT = Path(__file__).parents[1]
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

    def push(self, node: str, source: Path, target: str) -> None:
        """Copy a directory's contents onto a node, with modes."""
        packed = subprocess.run(["tar", "-C", source, "-cf", "-", "."], capture_output=True, check=True).stdout
        command = [*keys.ssh_command(self.node(node).address), f"mkdir -p {target} && tar -C {target} -xpf -"]
        subprocess.run(command, input=packed, capture_output=True, check=True, timeout=60)
