"""What is seen of a machine, whoever looks: the deploy's one question, or the doctor on the box.

What could not be seen is None, empty or 0, and is never held against a machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ipex_node.fitness import gpus

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Card:
    """A PCI display device of Intel's.

    Attributes:
        slot: Its PCI address.
        pci_id: Vendor and device, as in `8086:56a0`.
        driver: The kernel driver bound to it; empty when there is none.
        render: The render node that sysfs shows below it, as in `renderD128`; empty when there is none.
    """

    slot: str
    pci_id: str
    driver: str
    render: str = ""

    @property
    def model(self) -> gpus.Gpu:
        """What it is, by the table of GPUs."""
        return gpus.lookup(self.pci_id)

    def __str__(self) -> str:
        """Return its name with its id, as an operator looks it up."""
        return f"{self.model.name} ({self.pci_id})"


@dataclass(frozen=True)
class RenderNode:
    """A render node as it lies in /dev/dri.

    Attributes:
        path: Where it lies.
        mode: Permission bits.
        owner: Name of its user; the number where it has no name.
        group: Name of its group; the number where it has no name.
    """

    path: str
    mode: int
    owner: str
    group: str

    def __str__(self) -> str:
        """Return it as ls would: path, mode, owner and group."""
        return f"{self.path} ({self.mode:04o} {self.owner}:{self.group})"


@dataclass(frozen=True)
class Access:
    """What a unit's processes may open.

    Attributes:
        user: The unit's User=; empty for DynamicUser=, which owns no device.
        groups: Its Group= and SupplementaryGroups=.
        devices: Whether its DevicePolicy=, DeviceAllow= and PrivateDevices= let it read and write render nodes.
    """

    user: str = ""
    groups: tuple[str, ...] = ()
    devices: bool = True

    def may_open(self, node: RenderNode) -> bool:
        """Whether it may read and write a render node. The kernel takes the first class that fits: see chmod(2)."""
        if not self.devices:
            return False
        if self.user in {"root", "0"}:
            return True
        shift = 6 if self.user == node.owner else 3 if node.group in self.groups else 0
        return node.mode >> shift & 0o6 == 0o6


@dataclass(frozen=True)
class Machine:
    """A machine as it was seen.

    Attributes:
        distribution: `ID:VERSION_ID` of /etc/os-release.
        kernel: The kernel's release, as uname -r has it.
        memory_bytes: The kernel's MemTotal.
        cards: Intel's display devices.
        render_nodes: What lies in the directory of render nodes, by name.
        firmware: GuC firmware below /lib/firmware, without the ending of its compression; None where there is no
            such directory, as in a container.
        free_bytes: File system of a path to what an unprivileged user may still write there.
        cgroup: `unified`, `hybrid` or `legacy`.
        clock: `synchronized`, `kept` by a daemon that does not say more, `adrift`, or `container` where the machine
            around keeps it.
        vram_bytes: PCI address of a card to the memory of its own, where its driver says it to whoever looks.
        closure_bytes: What the services' closures take in the Nix store now; 0 where there are none yet.
        access: Unit to what its processes may open, for the units systemd knows.
    """

    distribution: str = ""
    kernel: str = ""
    memory_bytes: int = 0
    cards: tuple[Card, ...] = ()
    render_nodes: Mapping[str, RenderNode] = field(default_factory=dict)
    firmware: frozenset[str] | None = None
    free_bytes: Mapping[str, int] = field(default_factory=dict)
    cgroup: str = ""
    clock: str = ""
    vram_bytes: Mapping[str, int] = field(default_factory=dict)
    closure_bytes: int = 0
    access: Mapping[str, Access] = field(default_factory=dict)
