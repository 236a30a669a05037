"""What a node says of itself when it is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ipex_node.fitness.machine import Machine


@dataclass(frozen=True)
class Observed:
    """The answer to the one question every node is asked in a run.

    Attributes:
        machine: what is seen of its hardware and its kernel; a machine that did not answer has no distribution.
        packages: those of the declared Debian packages that are installed.
        flakes: the pinned flakes its generation's closures come from.
        is_busy: whether somebody changes it at this moment.
        status: what `ipex-node status` printed; empty on a machine that is no node yet.
        holds_floating: whether it is the gateway that has the fleet's floating address.
        rotation_seen: on a gateway, how it treats each node of each service: `in` or `out`.
        asked_from: where the SSH connection came from by which it was asked, and which of its ports that has reached;
            None where it does not say.
        host_key: its SSH host key of the kind ed25519, as `type base64`; empty where it has none.
    """

    machine: Machine = field(default_factory=Machine)
    packages: frozenset[str] = frozenset()
    flakes: tuple[str, ...] = ()
    is_busy: bool = False
    status: Mapping[str, Any] = field(default_factory=dict)
    holds_floating: bool = False
    rotation_seen: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    asked_from: tuple[str, int] | None = None
    host_key: str = ""

    @property
    def generation(self) -> str | None:
        """The generation it serves; None on a machine that has none yet."""
        return self.status.get("generation")

    @property
    def rotation(self) -> str:
        """What its agent tells the gateways: in, draining, activating; empty where it is not known."""
        return str(self.status.get("rotation", {}).get("state", ""))

    @property
    def is_drained(self) -> bool:
        """Whether it stays out of rotation: for an operator, or after a reboot whose proof has failed.

        A transaction's own drain ends with it.
        """
        return self.rotation == "draining" and self.status["rotation"].get("by") in {"operator", "reboot"}

    @property
    def quarantined(self) -> Mapping[str, Mapping[str, Any]]:
        """The generations that have failed on it, each with why and when."""
        return self.status.get("quarantined") or {}

    @property
    def condemned(self) -> Mapping[str, str]:
        """The services its health monitor keeps out of rotation, each with the reason."""
        return self.status.get("condemned") or {}

    @property
    def needs_reboot(self) -> bool:
        """Whether its health monitor keeps all of it out of rotation: a GPU's driver comes back by nothing else."""
        return bool(self.status.get("reboot_needed"))

    @property
    def reboot_reasons(self) -> tuple[str, ...]:
        """Why it needs a reboot, whoever asks for one; empty where it needs none."""
        return tuple(map(str, self.status.get("reboot_reasons") or ()))

    def runs(self, unit: str) -> bool:
        """Whether a unit of its generation is up, as systemd sees it."""
        harmed = {item["name"]: item["why"] for item in self.status.get("drift", ())}
        return self.generation is not None and harmed.get(unit, "disabled") == "disabled"
