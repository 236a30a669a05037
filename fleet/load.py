"""The only border: pyinfra's inventory becomes a Fleet, or every problem in it is reported."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.context import ctx_state
from pyinfra_cli.exceptions import CliError
from pyinfra_cli.inventory import make_inventory_from_files

from fleet import channels, checks, tuned
from fleet.access import Access
from fleet.backup import Backup, BackupRepository
from fleet.cleanup import Cleanup
from fleet.depot import Depot
from fleet.depots import with_server
from fleet.firewall import Firewall
from fleet.flake import Flake, Nix
from fleet.floating import Floating
from fleet.grafana import Grafana
from fleet.health import Health
from fleet.machine import Agent, Blackbox, Metrics, NodeExporter, Paths, Prometheus, Requirements
from fleet.maintenance import Window
from fleet.model import ROLES, Fleet, Gateway, Node, Role, Service
from fleet.model_store import ModelStore
from fleet.notifications import Alertmanager, Notifications
from fleet.objectives import Objective
from fleet.optimizer import Optimizer
from fleet.outlook import Outlook
from fleet.patching import Patching
from fleet.problems import Problem, report
from fleet.release import Release
from fleet.rollout import Request, Rollout
from fleet.secrets import Secrets
from fleet.secrets_file import SecretsError, SecretsFile, read
from fleet.structure import Structure
from fleet.thresholds import Thresholds
from fleet.turns import with_giver
from fleet.updates import Updates


class RefusedError(PyinfraError, CliError):
    """The run ends here: nothing has been changed on any node.

    A PyinfraError passes pyinfra's deploy code as it is, a CliError is shown without a traceback.
    """


# What makes a machine something. An environment's data are everybody's; its Prometheus is the monitors' all the same.
_OF_ROLE: dict[str, Role] = {
    "services": "gpu_nodes",
    "optimizer": "gpu_nodes",
    "backup": "gpu_nodes",
    "backup_repository": "gpu_nodes",
    "models": "gpu_nodes",
    "gateway": "gateways",
    "prometheus": "monitors",
    "blackbox": "monitors",
    "alertmanager": "monitors",
}
_WISHES = {item.name for item in dataclasses.fields(Request)}


@dataclass(frozen=True)
class NodeData:
    """Every key that inventory/ and group_data/ may set for a node, beside pyinfra's own."""

    environment: str
    requirements: Requirements
    agent: Agent
    metrics: Metrics
    node_exporter: NodeExporter
    paths: Paths
    rollout: Rollout
    health: Health
    patching: Patching
    channel: str | None = None
    flake: Flake | None = None
    secrets: SecretsFile | None = None
    firewall: Firewall | None = None
    address: str | None = None
    services: Mapping[str, Service] = field(default_factory=dict)
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
    updates: Updates | None = None


def from_inventory(inventory: Inventory) -> Fleet:
    """Read pyinfra's inventory.

    Raises:
        RefusedError: with every problem of every node.
    """
    fleet, problems = examine(inventory)
    if problems or fleet is None:
        environment = fleet.environment if fleet else "inventory"
        raise RefusedError(f"The fleet is not fit to be deployed:\n{report(environment, problems)}")
    return fleet


def from_file(path: str) -> Fleet:
    """Read an inventory file as the command line would, for tests, docs and tools.

    Raises:
        RefusedError: with every problem of every node.
    """
    with ctx_state.use(State()):
        return from_inventory(make_inventory_from_files(path, cwd=str(Path.cwd())))


def secrets_source(path: str) -> SecretsFile | None:
    """Where an inventory's secrets are, also where they cannot be read.

    Raises:
        RefusedError: its data do not say it in a way that can be understood.
    """
    with ctx_state.use(State()):
        host = next(iter(make_inventory_from_files(path, cwd=str(Path.cwd()))))
        structure = Structure(node_name(host))
        source: SecretsFile | None = structure.value(SecretsFile | None, host.data.get("secrets"), "secrets")
    if structure.problems:
        raise RefusedError(f"The data are not understood:\n{report(path, structure.problems)}")
    return source


def examine(inventory: Inventory) -> tuple[Fleet | None, list[Problem]]:
    """Read pyinfra's inventory and say all that is wrong with it."""
    problems = [problem for host in inventory for problem in _duplicates(host)]
    nodes: list[Node] = []
    environments: dict[str, str] = {}
    sources: dict[str, SecretsFile | None] = {}
    for host in inventory:
        node, values, found = _node(host)
        problems += found
        if node and values:
            nodes.append(node)
            environments[node.name], sources[node.name] = values.environment, values.secrets
    secrets, found = _secrets(sources)
    problems += [*found, *_strangers(environments)]
    if problems:
        return None, problems
    fleet = Fleet(next(iter(environments.values()), "inventory"), with_giver(with_server(nodes)), secrets)
    return fleet, [*checks.one_environment(environments), *checks.run(fleet)]


def request(inventory: Inventory) -> Request:
    """What a person says of this run, with `--data KEY=VALUE`.

    Raises:
        RefusedError: a value is none that its key may have.
    """
    structure = Structure("--data")
    data = {key: value for key, value in next(iter(inventory)).data.dict().items() if key in _WISHES}
    # pyinfra makes a number of a generation whose name has digits only.
    read: Request = structure.record(Request, {**data, **({"to": str(data["to"])} if "to" in data else {})}, "")
    if structure.problems:
        raise RefusedError(f"The command line is not understood:\n{report('run', structure.problems)}")
    return read


def node_name(host: Host) -> str:
    """The node a pyinfra host stands for."""
    return str(host.name).removeprefix("@fake/")


def _secrets(sources: Mapping[str, SecretsFile | None]) -> tuple[Secrets, list[Problem]]:
    """Open the environment's one file."""
    source = next(iter(sources.values()), None)
    cure = "Set secrets for a whole environment."
    problems = [
        Problem(node, "secrets differs from the first node's", cure) for node, own in sources.items() if own != source
    ]
    try:
        return read(source), problems
    except SecretsError as error:
        return Secrets(), [*problems, *(Problem("secrets", what, cure) for what, cure in error.problems)]


def _node(host: Host) -> tuple[Node | None, NodeData | None, list[Problem]]:
    structure = Structure(node_name(host))
    data = {key: value for key, value in host.data.dict().items() if not _is_pyinfras(key) and key not in _WISHES}
    _apply_overrides(structure, data)
    _apply_tuned(structure, data)
    values: NodeData = structure.record(NodeData, data, "")
    address = values.address or host.data.get("ssh_hostname") or host.name
    release = _release(structure, values)
    if structure.problems:
        return None, None, structure.problems
    roles = tuple(role for role in ROLES if role in host.groups)
    settings: dict[str, Any] = {
        item.name: getattr(values, item.name)
        for item in dataclasses.fields(NodeData)
        if item.name not in {"environment", "address", "secrets"} and _OF_ROLE.get(item.name) in {None, *roles}
    }
    settings["services"] = tuple(settings.get("services", {}).values())
    settings |= {"flake": release.flake if release else values.flake, "release": release}
    node = Node(name=node_name(host), address=str(address), roles=roles, **settings)
    return node, values, []


def _release(structure: Structure, values: NodeData) -> Release | None:
    """What the channel names that a node's environment follows; where it names nothing yet, `flake` stands."""
    release = None
    if isinstance(values.channel, str):
        try:
            release = channels.named(values.channel)
        except channels.ChannelError as error:
            for problem in error.problems:
                structure.refuse(f"{problem.where} {problem.what}", problem.cure)
    if not release and values.flake is None:
        structure.refuse("flake is missing", "Set it in group_data/, or follow a channel that names a release.")
    return release


def _is_pyinfras(key: str) -> bool:
    """Whether a key of host data is pyinfra's own: a connector's setting or a global argument."""
    return str(key).startswith(("ssh_", "fake_", "_"))


def _apply_overrides(structure: Structure, data: dict[str, Any]) -> None:
    """Lay an environment's and then a node's own values over the services, key by key."""
    for layer in ("service_overrides", "node_overrides"):
        overrides = data.pop(layer, {})
        services = data.get("services", {})
        if not _is_catalogue(overrides):
            structure.refuse(f"{layer} is {overrides!r}", "Write {service: {key: value}} there.")
            continue
        if not services or not _is_catalogue(services):
            continue  # there is nothing to lay them over; that the services are none is said by the structure
        for name in sorted(map(str, set(overrides) - set(services))):
            structure.refuse(f"{layer}.{name}: unknown service", f"Known services: {', '.join(sorted(services))}.")
        data["services"] = {name: {**service, **overrides.get(name, {})} for name, service in services.items()}


def _apply_tuned(structure: Structure, data: dict[str, Any]) -> None:
    """Lay what tunings have found over the environments of a node's services."""
    path, services = tuned.place(str(data.get("environment", ""))), data.get("services", {})
    try:
        found = tuned.read(path).get(structure.where, {})
    except ValueError as error:
        structure.refuse(f"{path.name}: {error}", "Take the last one that was committed, or remove it.")
        return
    for name, setting in found.items():
        if not _is_catalogue(services) or name not in services:
            structure.refuse(f"{path.name}: {structure.where} has no service {name}", "Remove it there.")
        elif isinstance(environment := services[name].get("environment", {}), Mapping):
            data["services"] = services = {
                **services,
                name: {**services[name], "environment": {**environment, **setting}},
            }


def _strangers(environments: Mapping[str, str]) -> Iterable[Problem]:
    for path in {tuned.place(environment) for environment in environments.values()}:
        try:
            strangers = sorted(set(tuned.read(path)) - set(environments))
        except ValueError:
            return  # each node has said so
        for name in strangers:
            yield Problem(path.name, f"{name} is no node of the inventory", "Remove it there.")


def _is_catalogue(data: object) -> bool:
    return isinstance(data, Mapping) and all(isinstance(item, Mapping) for item in data.values())


def _duplicates(host: Host) -> Iterable[Problem]:
    # A connector's host (@fake/gpu-01) inherits every group of its entry once more.
    entries = 2 if host.name.startswith("@") else 1
    for group in dict.fromkeys(host.groups):
        if host.groups.count(group) > entries and not group.startswith("@"):
            yield Problem(
                node_name(host), f"stands twice in {group}", "Give each node of a group one name and one entry."
            )
