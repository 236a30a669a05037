"""The node's settings, written by the deploy."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipex_node.backups import settings as backups
from ipex_node.failure import FailedError, failed
from ipex_node.health.settings import Health
from ipex_node.optimizer.settings import Optimizer, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipex_node.backups.settings import Backup


@dataclass(frozen=True)
class Service:
    """One engine this node runs.

    Attributes:
        name: Name in the catalogue of services.
        port: Port on loopback.
        health_path: Path that answers 200 when the API is up.
        engine: `ollama`, `comfyui` or `http`: how what is in flight is counted.
        unit: Its systemd unit.
        drain_seconds: Longest wait for what is in flight before the unit is restarted.
        model: Model that proves it, if any.
        models: Models the gateways may ask it for, as data write them.
        profile: The Nix profile its program is switched in.
        snapshot: Names in its state directory that a new version of it may change; given back when that fails.
    """

    name: str
    port: int
    health_path: str
    engine: str = "http"
    unit: str = ""
    drain_seconds: float = 0.0
    model: str | None = None
    models: tuple[str, ...] = ()
    profile: str = ""
    snapshot: tuple[str, ...] = ()


@dataclass(frozen=True)
class Route:
    """One path of the gateway.

    Attributes:
        service: Name in the catalogue of services.
        engine: What is asked of it.
        path: The prefix under which the gateway offers it.
        model: Model that must generate, if any.
    """

    service: str
    engine: str
    path: str
    model: str | None


@dataclass(frozen=True)
class Gateway:
    """The way in from outside, as verify takes it.

    Attributes:
        base_url: Scheme, address and port of the gateway.
        host: Name sent as Host.
        authority: File with certificates that are trusted beside the system's.
        key: File with the API key of the fleet's own client.
        routes: What must work.
    """

    base_url: str
    host: str
    authority: str
    key: str
    routes: tuple[Route, ...]


@dataclass(frozen=True)
class Floating:
    """What a gateway knows of the floating address.

    Attributes:
        address: The address.
        peers: The other gateways, each with address and port of its agent.
        units: What must run for a gateway to be of use.
        takeover_seconds: Within so many seconds another gateway has taken it.
    """

    address: str
    peers: Mapping[str, tuple[str, int]]
    units: tuple[str, ...]
    takeover_seconds: float


@dataclass(frozen=True)
class Cleanup:
    """What may go from the disk.

    Attributes:
        outputs: Directories of what engines have made, below the engines' state directories.
        outputs_days: Age below which no file goes that an engine has made.
        staged_days: Age below which no staged generation goes, nor what a stage has left.
        rest_seconds: After a run, the next one that nobody asked for by hand waits so long.
    """

    outputs: tuple[str, ...]
    outputs_days: int
    staged_days: int
    rest_seconds: int


@dataclass(frozen=True)
class Settings:
    """What this program must know about its node.

    Attributes:
        node: The node's name; none before the first deploy.
        environment: prod, staging, lab.
        revision: Revision of the deploy's data, if it says one.
        agent_port: Port of the agent.
        sysfs: Where sysfs is; a node without a GPU may show a tree of plain files.
        procfs: Where procfs is; as sysfs.
        gpu_seconds: Between two looks at the GPUs.
        traffic_seconds: Between two looks at the engines' traffic.
        duration_buckets: Upper bounds in seconds of the histogram of requests' durations, ascending.
        sources: Sources of metrics beside the agent itself, and after how many seconds without news each counts
            as silent.
        services: Engines on this node.
        gateways: The fleet's gateways, which send requests here, each with its address; settings of an earlier
            deploy say none.
        gateway: What verify checks; none where the node is no gateway.
        floating: The address that one of the gateways holds; none where there is none, and on other nodes.
        cleanup: What may go from the disk; none where the node cleans nothing.
        optimizer: How models run better on it; none where it is off, and on other nodes.
        backup: How it is kept; none where nobody keeps it.
        health: How its engines are judged and repaired; none where it runs none.
        updates: How it brings itself up to date; none where it does not. ipex_node/update/settings.py reads both.
        turns: How it gives turns to nodes that do; none on all but one monitor.
        metrics: Family to its `kind` and `help`, from the one table of metrics.
        fitness: What the machine must be; ipex_node/fitness/needs.py reads it.
    """

    node: str | None = None
    environment: str = ""
    revision: str | None = None
    agent_port: int = 9090
    sysfs: Path = Path("/sys")
    procfs: Path = Path("/proc")
    gpu_seconds: float = 15.0
    traffic_seconds: float = 15.0
    duration_buckets: tuple[float, ...] = ()
    sources: Mapping[str, float] = field(default_factory=dict)
    services: tuple[Service, ...] = ()
    gateways: Mapping[str, str] = field(default_factory=dict)
    gateway: Gateway | None = None
    floating: Floating | None = None
    cleanup: Cleanup | None = None
    optimizer: Optimizer | None = None
    backup: Backup | None = None
    health: Health | None = None
    updates: Mapping[str, Any] | None = None
    turns: Mapping[str, Any] | None = None
    metrics: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    fitness: Mapping[str, Any] = field(default_factory=dict)

    def is_gateway(self, name: str, address: str) -> bool:
        """Whether somebody who says so, and asks from this address, is one of the fleet's gateways."""
        known = self.gateways.get(name)
        return known is not None and known in {"", address}


def load(path: Path) -> Settings:
    """Return the settings in a file; those of a node without any where the file does not exist yet.

    Raises:
        FailedError: The file is there and cannot be understood.
    """
    try:
        return _settings(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return Settings()
    except KeyError as missing:
        raise failed(str(path), f"key {missing} is missing", "deploy again: the file is generated") from missing
    except (ValueError, TypeError, AttributeError) as error:
        raise failed(str(path), f"cannot be understood: {error}", "deploy again: the file is generated") from error


def load_leniently(path: Path) -> Settings:
    """Return the settings in a file; those of a node without any where somebody's edit has broken them."""
    try:
        return load(path)
    except FailedError:
        return Settings()


def _settings(raw: dict[str, Any]) -> Settings:
    return Settings(
        node=raw["node"],
        environment=raw["environment"],
        revision=raw.get("revision"),
        agent_port=int(raw["agent"]["port"]),
        sysfs=Path(raw["paths"]["sysfs"]),
        procfs=Path(raw["paths"].get("procfs", "/proc")),
        gpu_seconds=float(raw.get("sampling", {}).get("gpu_seconds", 15)),
        traffic_seconds=float(raw.get("sampling", {}).get("traffic_seconds", 15)),
        duration_buckets=tuple(sorted(map(float, raw.get("sampling", {}).get("duration_buckets", ())))),
        sources=raw.get("sources", {}),
        services=tuple(map(_service, raw["services"])),
        gateways=_gateways(raw.get("gateways", {})),
        gateway=_gateway(raw["verify"]) if raw.get("verify") else None,
        floating=_floating(raw["floating"]) if raw.get("floating") else None,
        cleanup=_cleanup(raw["cleanup"]) if raw.get("cleanup") else None,
        optimizer=parse(raw["optimizer"]) if raw.get("optimizer") else None,
        backup=backups.read(raw["backup"]) if raw.get("backup") else None,
        health=Health(**raw["health"]) if raw.get("health") else None,
        updates=raw.get("updates"),
        turns=raw.get("turns"),
        metrics=raw.get("metrics", {}),
        fitness=raw.get("fitness", {}),
    )


def _service(raw: dict[str, Any]) -> Service:
    return Service(
        name=raw["name"],
        port=int(raw["port"]),
        health_path=raw["health_path"],
        engine=raw["engine"],
        unit=raw["unit"],
        drain_seconds=float(raw.get("drain_seconds", 0)),
        model=raw.get("model"),
        models=tuple(raw.get("models", ())),
        profile=raw.get("profile", ""),
        snapshot=tuple(raw.get("snapshot", ())),
    )


def _gateways(raw: dict[str, str] | list[str]) -> dict[str, str]:
    """Read names with addresses, or the names alone that an earlier deploy has written."""
    return dict(raw) if isinstance(raw, dict) else dict.fromkeys(raw, "")


def _floating(raw: dict[str, Any]) -> Floating:
    peers = {name: (str(peer["address"]), int(peer["port"])) for name, peer in raw["peers"].items()}
    return Floating(raw["address"], peers, tuple(raw["units"]), float(raw["takeover_seconds"]))


def _cleanup(raw: dict[str, Any]) -> Cleanup:
    return Cleanup(tuple(raw["outputs"]), raw["outputs_days"], raw["staged_days"], raw["rest_seconds"])


def _gateway(raw: dict[str, Any]) -> Gateway:
    routes = (Route(one["service"], one["engine"], one["path"], one.get("model")) for one in raw["routes"])
    # An earlier deploy has written neither; this node is about to be given both.
    return Gateway(raw["base_url"], raw["host"], raw.get("authority", ""), raw.get("key", ""), tuple(routes))
