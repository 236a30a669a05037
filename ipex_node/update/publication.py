"""What a controller has published for the fleet: which generation each node is to take, in which order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ipex_node import border
from ipex_node.failure import failed

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1
INDEX = "generations/index"
"""Where it lies in the depot: its signature, and then what is signed, in one file, so that both are of one moment."""
_SEAL_END = b"-----END SSH SIGNATURE-----\n"


@dataclass(frozen=True)
class Member:
    """One node of it.

    Attributes:
        generation: What it is to take.
        file: Where that lies in the depot, encrypted for this node alone.
        sha256: Digest of that file.
        packages: Debian packages that must be installed before.
        address: Where it asks from.
        agent_port: Where its agent answers.
        role: What it does foremost: of gateways and of monitors one changes at a time.
        canary: Whether the others wait to see it succeed.
    """

    generation: str
    file: str
    sha256: str
    packages: tuple[str, ...]
    address: str
    agent_port: int
    role: str
    canary: bool = False


@dataclass(frozen=True)
class Service:
    """How much of a service must go on.

    Attributes:
        nodes: All that run it.
        floor: So many of them must serve at all times.
    """

    nodes: tuple[str, ...]
    floor: int


@dataclass(frozen=True)
class Publication:
    """One state of the whole fleet.

    Attributes:
        environment: Whose it is.
        serial: Higher than that of every publication before it.
        created, expires: When it was made, and from when on nobody takes it any more (seconds since 1970).
        concurrent: So many nodes change at once at most.
        soak_seconds: So long after the last canary the others wait.
        members: Node to what it is to take.
        services: Service to how much of it must go on.
    """

    environment: str
    serial: int
    created: float
    expires: float
    concurrent: int
    soak_seconds: float
    members: Mapping[str, Member] = field(default_factory=dict)
    services: Mapping[str, Service] = field(default_factory=dict)

    @property
    def canaries(self) -> frozenset[str]:
        """The nodes that change before all others."""
        return frozenset(name for name, member in self.members.items() if member.canary)


def sealed(seal: bytes, text: bytes) -> bytes:
    """Put a signature before what it signs."""
    return seal + text


def parted(content: bytes) -> tuple[bytes, bytes]:
    """Part a signature from what it signs.

    Raises:
        FailedError: There is no whole signature.
    """
    seal, end, text = content.partition(_SEAL_END)
    if not end:
        raise failed(INDEX, "has no whole signature: it is cut off, or somebody else's", "publish again")
    return seal + end, text


def parse(text: bytes) -> Publication:
    """Read an index whose signature has been verified.

    Raises:
        FailedError: It cannot be understood: made by a later version, or by none.
    """
    try:
        raw = border.parse(text)
        if raw["format"] != FORMAT:
            raise ValueError(f"its format is {raw['format']!r}, this program knows {FORMAT}")  # noqa: TRY301 - in words below
        return Publication(
            environment=raw["environment"],
            serial=int(raw["serial"]),
            created=float(raw["created"]),
            expires=float(raw["expires"]),
            concurrent=int(raw["concurrent"]),
            soak_seconds=float(raw["soak_seconds"]),
            members={name: _member(member) for name, member in raw["members"].items()},
            services={name: Service(tuple(one["nodes"]), int(one["floor"])) for name, one in raw["services"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise failed(
            INDEX, f"cannot be understood: {error!r}", "publish again; deploy once where this persists"
        ) from error


def _member(raw: dict[str, Any]) -> Member:
    return Member(**{**raw, "packages": tuple(raw["packages"])})
