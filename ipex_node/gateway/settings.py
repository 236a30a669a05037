"""What a gateway must know of the nodes it stands before, written by the deploy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipex_node.failure import failed
from ipex_node.gateway.circuit import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ipex_node.gateway.warmth import Models
    from ipex_node.paths import Paths

SETTINGS = "/etc/ipex/gateway.json"


@dataclass(frozen=True)
class Backend:
    """One GPU node.

    Attributes:
        address: Where its agent and its services are.
        port: Port of its agent.
        services: The services it runs.
    """

    address: str
    port: int
    services: tuple[str, ...]


@dataclass(frozen=True)
class Following:
    """How closely the gateway follows its nodes.

    Attributes:
        interval_seconds: Time from one question to a node to the next.
        rise: Good answers in a row that bring a node back.
        fall: Questions in a row without a good answer that take it out.
        fail_open_share: If more than this share of a service's nodes look down at once, none is taken out.
        gather_seconds: How long a node's return waits for others, so that one reload serves them all.
        warm_seconds: Least time from a reload to one that only follows which models are loaded where.
    """

    interval_seconds: float
    rise: int
    fall: int
    fail_open_share: float
    gather_seconds: float
    warm_seconds: float


@dataclass(frozen=True)
class Monitor:
    """One monitor's Prometheus."""

    address: str
    port: int


@dataclass(frozen=True)
class FrontPage:
    """What the front page's live data are made of, and how often.

    Attributes:
        environment: The fleet's environment.
        write_seconds: Between two writings.
        numbers_seconds: Between two questions to a node for its numbers.
        objectives_seconds: Between two questions to a monitor.
        question: What a monitor's Prometheus is asked, as a path.
        monitors: Who is asked, one after another.
    """

    environment: str
    write_seconds: float
    numbers_seconds: float
    objectives_seconds: float
    question: str
    monitors: tuple[Monitor, ...]


@dataclass(frozen=True)
class GatewaySettings:
    """Everything of /etc/ipex/gateway.json.

    Attributes:
        gateway: This gateway's name, told to the nodes.
        port: nginx' own port.
        question: Path under which nginx says which upstreams it has loaded.
        declared: Upstreams as the deploy has them, every node in.
        live: The file nginx includes, which this program writes.
        candidate: Where a new one lies while it is checked.
        check: Smallest configuration of nginx that includes the candidate.
        state: What is known of every node.
        fleet: The front page's live data, which this program writes.
        pid: nginx' pid file.
        nodes: Node to what is known of it.
        models: Service to model to the nodes that declare it; only services whose requests are told apart.
        following: How closely they are followed.
        circuit: When a check that fails on many of them is doubted.
        front_page: What the front page's live data are made of.
    """

    gateway: str
    port: int
    question: str
    declared: Path
    live: Path
    candidate: Path
    check: Path
    state: Path
    fleet: Path
    pid: Path
    nodes: Mapping[str, Backend]
    models: Models
    following: Following
    circuit: Limits
    front_page: FrontPage

    def members(self) -> dict[str, tuple[str, ...]]:
        """Return service to the nodes that run it."""
        services = sorted({service for backend in self.nodes.values() for service in backend.services})
        return {
            service: tuple(name for name, backend in self.nodes.items() if service in backend.services)
            for service in services
        }


def load(paths: Paths) -> GatewaySettings:
    """Read the settings.

    Raises:
        FailedError: They are missing or cannot be understood.
    """
    path = paths.on_node(SETTINGS)
    try:
        return _settings(paths, json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise failed(str(path), "does not exist", "deploy this gateway first") from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise failed(str(path), f"cannot be understood: {error!r}", "deploy again: the file is generated") from error


def _settings(paths: Paths, raw: dict[str, Any]) -> GatewaySettings:
    places = ("declared", "live", "candidate", "check", "state", "fleet", "pid")
    return GatewaySettings(
        gateway=raw["gateway"],
        port=int(raw["port"]),
        question=raw["question"],
        nodes={
            name: Backend(one["address"], int(one["port"]), tuple(one["services"]))
            for name, one in raw["nodes"].items()
        },
        models={
            service: {model: tuple(nodes) for model, nodes in models.items()}
            for service, models in raw["models"].items()
        },
        following=Following(**raw["rotation"]),
        circuit=Limits(**raw["circuit"]),
        front_page=_front_page(raw["front_page"]),
        **{place: paths.on_node(raw["paths"][place]) for place in places},
    )


def _front_page(raw: dict[str, Any]) -> FrontPage:
    monitors = tuple(Monitor(one["address"], int(one["port"])) for one in raw["monitors"])
    return FrontPage(**{**raw, "monitors": monitors})
