"""What a node's machine must be, as data: written by the deploy into /etc/ipex/node.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipex_node.failure import failed

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class ServiceNeeds:
    """What one engine needs.

    Attributes:
        name: Its name in the catalogue of services.
        unit: Its systemd unit.
        gpu_classes: Classes of gpus.toml it may run on.
        gpu_classes_warned: Those of them it runs on with a warning.
        discrete_only: Whether it leaves integrated GPUs unused, as it is set up.
        memory_max_bytes: The most memory its unit may take.
        disk_gb: Free space in GB (10^9 bytes) it wants for models and outputs.
        closure_gb: What its closure takes in the Nix store at most, in GB.
    """

    name: str
    unit: str
    gpu_classes: tuple[str, ...]
    gpu_classes_warned: tuple[str, ...]
    discrete_only: bool = False
    memory_max_bytes: int = 0
    disk_gb: float = 0
    closure_gb: float = 0


@dataclass(frozen=True)
class Needs:
    """What a node's machine must be.

    Attributes:
        services: What its engines need; none where it is no GPU node.
        distributions: `ID:VERSION_ID` pairs that are supported; nothing is refused where there are none.
        memory_gb: Installed memory in GB below which a GPU node is warned about.
        render_nodes: Directory of the render nodes the engines open; empty where they open none.
    """

    services: tuple[ServiceNeeds, ...] = ()
    distributions: tuple[str, ...] = ()
    memory_gb: float = 0
    render_nodes: str = ""


UNDECLARED = Needs(services=(ServiceNeeds("any engine", "", ("arc", "xe-lp"), ("xe-lp",)),), render_nodes="/dev/dri")
"""What can be asked of a machine before a deploy has said what it is to do."""


def read(raw: Mapping[str, Any], where: str) -> Needs:
    """Return the needs that /etc/ipex/node.json holds under `fitness`.

    Raises:
        FailedError: They cannot be understood.
    """
    try:
        return Needs(
            services=tuple(_service(one) for one in raw["services"]),
            distributions=tuple(raw["distributions"]),
            memory_gb=float(raw["memory_gb"]),
            render_nodes=str(raw["render_nodes"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise failed(
            where, f"fitness cannot be understood: {error!r}", "deploy again: the file is generated"
        ) from error


def _service(raw: Mapping[str, Any]) -> ServiceNeeds:
    classes = {key: tuple(raw[key]) for key in ("gpu_classes", "gpu_classes_warned")}
    return ServiceNeeds(**{**raw, **classes})
