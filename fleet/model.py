"""What the fleet is: frozen types and the questions they answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fleet.access import Access
from fleet.backup import Backup, BackupRepository
from fleet.cleanup import Cleanup
from fleet.depot import Depot
from fleet.firewall import Firewall
from fleet.flake import Flake, Nix, profile_of
from fleet.floating import Floating, Takeover
from fleet.front_page import FrontPage
from fleet.gateway_log import GatewayLog
from fleet.grafana import Grafana
from fleet.health import Health
from fleet.limits import Limits
from fleet.machine import Agent, Blackbox, Metrics, NodeExporter, Paths, Prometheus, Requirements
from fleet.maintenance import Window
from fleet.model_store import Download, ModelStore
from fleet.notifications import Alertmanager, Notifications
from fleet.objectives import Objective
from fleet.optimizer import Optimizer
from fleet.outlook import Outlook
from fleet.patching import Patching
from fleet.release import Release
from fleet.rollout import Rollout, Rotation
from fleet.route import Route
from fleet.secrets import Secrets
from fleet.thresholds import Thresholds
from fleet.tls import Tls
from fleet.updates import Updates

Role = Literal["gpu_nodes", "gateways", "monitors"]
Engine = Literal["ollama", "comfyui", "http"]
GpuClass = Literal["arc", "xe-lp", "legacy"]
ROLES: tuple[Role, ...] = ("gpu_nodes", "gateways", "monitors")


@dataclass(frozen=True)
class Service:
    """One engine on every GPU node; limits in systemd's own spelling.

    Attributes:
        name: its name in the fleet, and of its state directory.
        package: the flake's output and the unit's name.
        command: the program below the package, with its arguments.
        description: the unit's Description=.
        port: where it listens.
        health_path: answers 200 when its API is up.
        engine: how it is proved to do its work.
        gpu_classes: classes of ipex_node/fitness/gpus.toml it may run on; an unknown GPU is let through with a warning.
        gpu_classes_warned: those of them it runs on with a warning.
        disk_gb: free space (10^9 bytes) it wants for models and outputs.
        closure_gb: what its closure takes in the Nix store at most, with its part of the drivers.
        memory_max, cpu_quota, exec_paths: MemoryMax=, CPUQuota= and ExecPaths= of the unit.
        jit: whether it compiles code at run time, so that memory must be writable and executable.
        ephemeral_ports: whether it listens on ephemeral ports beside its own.
        egress: networks it may reach beside gateways and monitors (IPAddressAllow=).
        drain_seconds: how long a node waits for what is in flight before it restarts the engine.
        probe_seconds: how long it has to prove that it works: cold start, model load, one generation.
        floor: so many nodes must serve it at all times: a number, or a share of its nodes like `50%`.
        route: how the gateway reaches it.
        environment: Environment= of the unit.
        model: what a probe generates with, where the engine needs one.
        models: what the gateway may ask this node for; empty means `model` alone.
        snapshot: names in its state directory that a new version may change; given back when that version fails.
        backup: paths in its state directory that nobody could download again: into the repository.
        created: models made here (`ollama create`), which no registry has: into the repository.
        downloads: files of models, for an engine that knows no registry: path below its models/ to where they are from.
    """

    name: str
    package: str
    command: str
    description: str
    port: int
    health_path: str
    engine: Engine
    gpu_classes: tuple[GpuClass, ...]
    gpu_classes_warned: tuple[GpuClass, ...]
    disk_gb: int
    closure_gb: int
    memory_max: str
    cpu_quota: str
    exec_paths: tuple[str, ...]
    jit: bool
    ephemeral_ports: bool
    egress: tuple[str, ...]
    drain_seconds: int
    probe_seconds: int
    floor: int | str
    route: Route
    environment: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None
    models: tuple[str, ...] = ()
    snapshot: tuple[str, ...] = ()
    backup: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    downloads: Mapping[str, Download] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """Its systemd unit."""
        return f"{self.package}.service"

    @property
    def profile(self) -> str:
        """The Nix profile its package is switched in."""
        return profile_of(self.package)

    @property
    def variable(self) -> str:
        """Its name as part of an nginx variable, which takes no dash."""
        return self.name.replace("-", "_")

    @property
    def upstream(self) -> str:
        """The name of its nginx upstream (the brief's ollama-backend)."""
        return f"{self.name}-backend"


@dataclass(frozen=True)
class Gateway:
    """nginx; times in nginx' own spelling.

    Attributes:
        server_name: the public name of the fleet.
        port: where it listens without TLS: what comes there is sent to tls.port.
        tls: how it shows who it is.
        limits: what one client and one address may ask.
        connect_timeout: after how long a dead backend is given up (proxy_connect_timeout).
        shutdown_timeout: how long old workers may finish after a reload (worker_shutdown_timeout).
        worker_connections: concurrent connections of one worker process.
        rotation: how closely it follows its nodes.
        takeover: how fast another gateway takes the floating address.
        front_page: how fresh its front page is.
        connections_port: where nginx' exporter shows its connections.
        log: what is kept of requests, and where it is counted.
    """

    server_name: str
    port: int
    tls: Tls
    limits: Limits
    connect_timeout: str
    shutdown_timeout: str
    worker_connections: int
    rotation: Rotation
    takeover: Takeover
    front_page: FrontPage
    connections_port: int
    log: GatewayLog

    @property
    def address(self) -> str:
        """The public address, without a slash at its end."""
        return f"https://{self.server_name}" + (f":{self.tls.port}" if self.tls.port != 443 else "")


@dataclass(frozen=True)
class Node:
    """One machine of the fleet.

    Attributes:
        name, address, roles: its host name, the IP address for other nodes, and what it does.
        services, drivers: the engines it runs, and the flake's output with their drivers, on a GPU node.
        nix, patching: where Nix fetches from, and how its distribution is kept current and rebooted.
        channel, release: the channel its environment follows, and what that names; every node says the same.
        firewall: who may reach it beside the fleet; None where it has no firewall of this project.
        rollout, health: how the fleet changes, how engines are judged and repaired; every node says the same.
        cleanup, optimizer, models: what may go from its disk, how models run better on it, and how they come to it.
        backup, backup_repository: how and where its data are kept, on a GPU node.
        gpus: how many Intel GPUs it has.
        gateway, access, floating: nginx' settings, whom it lets in, and the address that one of the gateways holds.
        prometheus, blackbox, alertmanager: settings of these where it is a monitor.
        notifications, maintenance: whom alerts reach, and when nobody is told of them.
        objectives, alerts, grafana, capacity: what users are promised, from when on one is told, and what is shown.
        depot, serves_depot: what one node keeps for all, the same on all nodes, and whether it is that node.
        updates, gives_turns: how it brings itself up to date, and whether it says whose turn it is to do so.
    """

    name: str
    address: str
    roles: tuple[Role, ...]
    flake: Flake
    requirements: Requirements
    agent: Agent
    metrics: Metrics
    node_exporter: NodeExporter
    paths: Paths
    rollout: Rollout
    health: Health
    patching: Patching
    channel: str | None = None
    release: Release | None = None
    firewall: Firewall | None = None
    services: tuple[Service, ...] = ()
    drivers: str | None = None
    nix: Nix | None = None
    cleanup: Cleanup | None = None
    optimizer: Optimizer | None = None
    backup: Backup | None = None
    backup_repository: BackupRepository | None = None
    models: ModelStore | None = None
    gpus: int = 0
    gateway: Gateway | None = None
    access: Access = field(default_factory=Access)
    floating: Floating | None = None
    prometheus: Prometheus | None = None
    blackbox: Blackbox | None = None
    alertmanager: Alertmanager | None = None
    notifications: Notifications | None = None
    maintenance: tuple[Window, ...] = ()
    objectives: Mapping[str, Objective] = field(default_factory=dict)
    alerts: Thresholds | None = None
    grafana: Grafana | None = None
    capacity: Outlook | None = None
    depot: Depot | None = None
    serves_depot: bool = False
    updates: Updates | None = None
    gives_turns: bool = False

    @property
    def is_gpu(self) -> bool:
        """Whether it runs the engines."""
        return "gpu_nodes" in self.roles

    def at(self, port: int) -> str:
        """The node's address with a port, as URLs and nginx write it."""
        return f"[{self.address}]:{port}" if ":" in self.address else f"{self.address}:{port}"

    def service(self, name: str) -> Service | None:
        """One of its services, by name."""
        return next((service for service in self.services if service.name == name), None)

    def ports(self) -> tuple[tuple[int, str], ...]:
        """Every port something on this node listens on, with its owner."""
        owners = [(self.agent.port, "agent"), (self.node_exporter.port, "node_exporter")]
        owners += [(service.port, service.name) for service in self.services]
        owners += [(self.backup.test_port, "restore_test")] if self.backup and self.services else []
        owners += [(self.models.port, "models")] if self.models else []
        if self.gateway:
            owners += [(self.gateway.port, "gateway"), (self.gateway.tls.port, "gateway's TLS")]
            owners += [(self.gateway.connections_port, "nginx_exporter"), (self.gateway.log.port, "mtail")]
        owners += [(self.prometheus.port, "prometheus")] if self.prometheus else []
        owners += [(self.blackbox.port, "blackbox_exporter")] if self.blackbox else []
        if self.alertmanager:
            owners += [(self.alertmanager.port, "alertmanager"), (self.alertmanager.gossip_port, "alertmanager_gossip")]
        grafana = self.grafana if self.prometheus and self.grafana and self.grafana.listens else None
        owners += [(grafana.port, "grafana")] if grafana else []
        owners += [(self.depot.port, "depot")] if self.depot and self.serves_depot else []
        owners += [(self.updates.port, "turns")] if self.updates and self.gives_turns else []
        return tuple(owners)


@dataclass(frozen=True)
class Fleet:
    """All machines of one environment, in inventory order, and its secrets."""

    environment: str
    nodes: tuple[Node, ...]
    secrets: Secrets = field(default_factory=Secrets)

    def __getitem__(self, name: str) -> Node:
        """The node of that name."""
        return next(node for node in self.nodes if node.name == name)

    @property
    def rollout(self) -> Rollout:
        """How a change goes through this fleet."""
        return self.nodes[0].rollout

    @property
    def floating(self) -> Floating | None:
        """The address that one of the gateways holds; None where each is reached by its own alone."""
        return next((node.floating for node in self.with_role("gateways")), None)

    @property
    def depot_node(self) -> Node | None:
        """The node that keeps the depot; None where each node builds for itself."""
        return next((node for node in self.nodes if node.serves_depot), None)

    def with_role(self, role: Role) -> tuple[Node, ...]:
        """The nodes that have a role."""
        return tuple(node for node in self.nodes if role in node.roles)

    def services(self) -> tuple[Service, ...]:
        """Every service of the fleet once, as the first node that runs it has it."""
        found = {service.name: service for node in reversed(self.nodes) for service in reversed(node.services)}
        return tuple(sorted(found.values(), key=lambda service: service.name))

    def backends(self, service: str) -> tuple[Node, ...]:
        """The nodes that run a service."""
        return tuple(node for node in self.nodes if node.service(service))

    def addresses(self, *roles: Role) -> tuple[str, ...]:
        """The addresses of the nodes that have one of the roles, in inventory order."""
        return tuple(node.address for node in self.nodes if set(roles) & set(node.roles))
