"""How nodes take their distribution's security updates, and how long their reboots may take."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet.problems import Problem

if TYPE_CHECKING:
    from fleet.model import Fleet


@dataclass(frozen=True)
class Patching:
    """How nodes are kept current beside what this project installs.

    Attributes:
        reboot_seconds: how long a node may take from the command to reboot until it answers again over SSH.
    """

    reboot_seconds: int


def nonsense(patching: Patching) -> Iterator[tuple[str, str]]:
    """What of it cannot be meant, each with its cure."""
    if not 30 <= patching.reboot_seconds <= 7200:
        yield (
            f"patching.reboot_seconds is {patching.reboot_seconds}",
            "Write 30 to 7200; a server's firmware takes 300.",
        )


def problems(fleet: "Fleet") -> Iterator[Problem]:
    """What of it cannot be meant, node by node."""
    for node in fleet.nodes:
        yield from (Problem(node.name, *found) for found in nonsense(node.patching))
