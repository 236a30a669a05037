"""A lab node with Debian's Nix, for what only Nix can tell."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab_fleet import Lab


@dataclass(frozen=True)
class NixNode:
    """A node with Nix on it."""

    lab: Lab
    name: str = "gpu-01"

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command there as root."""
        return self.lab.run(self.name, command, seconds=300)

    def push(self, source: Path, target: str) -> None:
        """Copy a directory's contents there."""
        self.lab.push(self.name, source, target)


@pytest.fixture
def nix_node(lab: Lab) -> NixNode:
    """The first GPU node, which the deploy gave Debian's Nix."""
    return NixNode(lab)
