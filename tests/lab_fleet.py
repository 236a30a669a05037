"""The lab's real nodes, as its tests see them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import keys, nodes, roster
from lab.roster import Node

ROOT = Path(__file__).parents[1]
PYINFRA = Path(sys.executable).with_name("pyinfra")
# Another fleet of the lab may be tested; its file is called lab.py too, so that group_data/lab.py applies to it.
INVENTORY = Path(os.environ.get("IPEX_LAB_INVENTORY", "inventory/lab.py"))


@dataclass(frozen=True)
class Lab:
    """The running lab, as its tests see it."""

    def names(self, role: str) -> list[str]:
        """The nodes of a role, in the inventory's order."""
        return [node.name for node in roster.load(ROOT / INVENTORY) if role in node.roles]

    @property
    def gpus(self) -> list[str]:
        """The GPU nodes."""
        return self.names("gpu_nodes")

    @property
    def gateway(self) -> str:
        """The first gateway."""
        return self.gateways[0]

    @property
    def gateways(self) -> list[str]:
        """The gateways."""
        return self.names("gateways")

    def holders(self) -> list[str]:
        """The gateways that hold the floating address, of those that answer."""
        question = f"ip -o address show to {roster.FLOATING_ADDRESS} | wc -l"
        return [
            name for name in self.gateways if nodes.recorded()[name].running() and self.output(name, question) == "1"
        ]

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

    def deploy(self, *arguments: str, inventory: Path = INVENTORY) -> subprocess.CompletedProcess[str]:
        """Run the real command: `pyinfra ARGUMENTS inventory/lab.py deploy.py`."""
        with self.deploying(*arguments, inventory=inventory) as process:
            output, _ = process.communicate(timeout=500)
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    @contextmanager
    def deploying(self, *arguments: str, inventory: Path = INVENTORY) -> Iterator[subprocess.Popen[str]]:
        """The real command while it runs; it is killed where the block ends before it does."""
        command = [str(PYINFRA), *arguments, str(inventory), "deploy.py"]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def node(self, name: str) -> Node:
        """How to reach a node."""
        return nodes.find(name)

    def push(self, node: str, source: Path, target: str, *options: str) -> None:
        """Copy a directory's contents onto a node, with modes; options are tar's, for what is left out."""
        command = ["tar", "-C", str(source), *options, "-cf", "-", "."]
        packed = subprocess.run(command, capture_output=True, check=True).stdout
        command = [*keys.ssh_command(self.node(node).address), f"mkdir -p {target} && tar -C {target} -xpf -"]
        subprocess.run(command, input=packed, capture_output=True, check=True, timeout=60)
