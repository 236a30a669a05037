"""What a node says of itself when it is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ObservedGpu:
    """A PCI display device of Intel's.

    Attributes:
        slot: its PCI address.
        pci_id: vendor and device, as in `8086:56a0`.
        driver: the kernel driver bound to it; empty when there is none.
    """

    slot: str
    pci_id: str
    driver: str


@dataclass(frozen=True)
class Observed:
    """The answer to the one question every node is asked in a run.

    Attributes:
        distribution: `ID:VERSION_ID` of /etc/os-release.
        memory_bytes: the kernel's MemTotal.
        gpus: Intel's display devices.
        packages: those of the declared Debian packages that are installed.
        status: what `ipex-node status` printed; empty on a machine that is no node yet.
    """

    distribution: str = ""
    memory_bytes: int = 0
    gpus: tuple[ObservedGpu, ...] = ()
    packages: frozenset[str] = frozenset()
    status: Mapping[str, Any] = field(default_factory=dict)
