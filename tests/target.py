"""The fleet that is asked: the lab's, or the one of an inventory that is named. Nothing here changes a node."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fleet import load
from fleet.model import Fleet, Role

ROOT = Path(__file__).parents[1]
LAB_INVENTORY = "inventory/lab.py"
PYINFRA = Path(sys.executable).with_name("pyinfra")
GB = 10**9
# A machine sold with 16 GB shows its programs less (ipex_node/fitness/judge.py).
_MEMORY = 16 * GB * 0.93
NEEDS = {"intel-gpu": "an Intel GPU with its driver", "16gb-ram": "16 GB of memory"}
"""What a test may require of the nodes that it asks."""
_ANSWER = re.compile(r"^\s*\[(?P<node>[^\]]+)\]\s+(?P<answer>\{.*\})$", re.MULTILINE)


@dataclass
class Target:
    """A fleet that can be asked.

    Attributes:
        inventory: its inventory file.
        machines: what each GPU node said of itself (`ipex-node doctor`), once it was asked.
    """

    inventory: Path
    machines: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def is_lab(self) -> bool:
        """Whether it is a fleet of the lab, which tests may boot, change and harm."""
        return self.inventory.stem == "lab"

    @cached_property
    def fleet(self) -> Fleet:
        """The fleet as it is declared."""
        return load.from_file(str(self.inventory))

    def __str__(self) -> str:
        """What it is, in words."""
        if self.is_lab:
            return f"the lab ({self.inventory}): real nodes, but trees of files for GPUs and small servers for engines"
        return f"{self.inventory}: a real fleet, asked and not changed"

    def ask(self, nodes: list[str], *words: str, seconds: float = 900) -> dict[str, dict[str, Any]]:
        """Run `ipex-node` with some words on nodes, and return each node's answer; who gives none is missing."""
        limits = [word for node in nodes for word in ("--limit", node)]
        command = [str(PYINFRA), "-y", *limits, str(self.inventory), "exec", "--", "ipex-node", *words]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
        return read(run.stdout + run.stderr)

    def names(self, role: Role) -> list[str]:
        """The nodes of a role."""
        return [node.name for node in self.fleet.with_role(role)]

    def inspect(self) -> None:
        """Ask every GPU node once what it is."""
        if not self.machines:
            self.machines = self.ask(self.names("gpu_nodes"), "doctor")

    def lacks(self, node: str, needs: tuple[str, ...]) -> list[str]:
        """What a GPU node does not have of what is required; all of it where it does not answer."""
        said = self.machines.get(node)
        return list(needs) if said is None else [need for need in needs if not has(said["machine"], need)]

    def described(self) -> Iterator[str]:
        """What the nodes that were asked are, one line each."""
        for node, said in sorted(self.machines.items()):
            machine = said["machine"]
            gpus = ", ".join(f"{gpu['product']} on {gpu['driver']}" for gpu in machine["gpus"]) or "no Intel GPU"
            yield f"  {node}: {gpus}, {(machine['memory_bytes'] or 0) / GB:.1f} GB of memory"


def read(printed: str) -> dict[str, dict[str, Any]]:
    """The JSON objects that nodes printed, by node."""
    return {found["node"]: json.loads(found["answer"]) for found in _ANSWER.finditer(printed)}


def has(machine: dict[str, Any], need: str) -> bool:
    """Whether a machine, as its doctor sees it, has what a test requires."""
    if need == "intel-gpu":
        return any(gpu["driver"] for gpu in machine["gpus"])
    if need == "16gb-ram":
        return (machine["memory_bytes"] or 0) >= _MEMORY
    raise KeyError(f"nothing is known of {need!r}; there are {', '.join(NEEDS)}")
