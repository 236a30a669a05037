"""Rules across the whole fleet. Reading the tuple at the end is reading the rules."""

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address

from fleet import (
    backup,
    depots,
    entrance,
    firewall,
    front_page,
    gateway_log,
    gateways,
    grafana,
    health,
    maintenance,
    model_store,
    models,
    monitoring,
    notifications,
    optimization,
    outlook,
    patching,
    promises,
    spelling,
    turns,
    waves,
)
from fleet.cleanup import nonsense
from fleet.model import ROLES, Fleet
from fleet.problems import Problem


def one_environment(environments: Mapping[str, str]) -> Iterator[Problem]:
    """All nodes of an inventory belong to one environment."""
    if len(set(environments.values())) > 1:
        for node, environment in environments.items():
            yield Problem(
                node, f"belongs to environment {environment}", "Give all nodes of an inventory one environment."
            )


def run(fleet: Fleet) -> list[Problem]:
    """Every problem every rule finds, in the order of the rules."""
    return [problem for rule in RULES for problem in rule(fleet)]


def _roles_are_filled(fleet: Fleet) -> Iterator[Problem]:
    for role in ROLES:
        if not fleet.with_role(role):
            yield Problem(fleet.environment, f"the group {role} is empty", f"Name at least one node in {role}.")
    for node in fleet.nodes:
        if not node.roles:
            yield Problem(node.name, "is in no group", f"Put it into one of {', '.join(ROLES)}.")


def _addresses(fleet: Fleet) -> Iterator[Problem]:
    owners = defaultdict[object, list[str]](list)
    for node in fleet.nodes:
        address = _host_address(node.address)
        owners[address or node.address].append(node.name)
        if address is None:
            yield Problem(
                node.name,
                f"address {node.address!r} is no IP address of one machine",
                "Set ssh_hostname or address to one: a name that does not resolve would keep nginx from starting.",
            )
    for owned, names in owners.items():
        for name in names[1:]:
            yield Problem(name, f"address {owned} is also {names[0]}'s", "Give each node its own address.")


def _host_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read the address of one machine; none where it is a name, or an address of all, none or this machine."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    address = getattr(address, "ipv4_mapped", None) or address
    odd = address.is_loopback or address.is_multicast or address.is_unspecified or address.is_link_local
    return None if odd or (address.version == 4 and address.is_reserved) else address


def _ports(fleet: Fleet) -> Iterator[Problem]:
    for node in fleet.nodes:
        counts = Counter(port for port, _ in node.ports())
        for port, count in counts.items():
            owners = " and ".join(owner for number, owner in node.ports() if number == port)
            if count > 1:
                yield Problem(node.name, f"port {port} belongs to {owners}", "Give each its own port in group_data/.")
            if not 0 < port < 65536:
                yield Problem(node.name, f"port {port} of {owners} is no port", "Use a number from 1 to 65535.")


def _spellings(fleet: Fleet) -> Iterator[Problem]:
    for node in fleet.nodes:
        yield from spelling.problems(node)
        yield from spelling.packages(node)


def _probes(fleet: Fleet) -> Iterator[Problem]:
    for node in fleet.nodes:
        for service in node.services:
            if service.engine == "ollama" and not service.model:
                yield Problem(
                    node.name,
                    f"services.{service.name}.model is missing",
                    "Name the model that proves this service can generate.",
                )


def _fitness(fleet: Fleet) -> Iterator[Problem]:
    for node in fleet.nodes:
        for service in node.services:
            where, beside = f"services.{service.name}", set(service.gpu_classes_warned) - set(service.gpu_classes)
            for fits, what, cure in (
                (bool(service.gpu_classes), "gpu_classes is empty", "Name the GPU classes it may run on."),
                (not beside, f"gpu_classes_warned has {', '.join(sorted(beside))}", "Take it into gpu_classes too."),
                (service.disk_gb >= 0, f"disk_gb is {service.disk_gb}", "Write 0 or more."),
                (service.closure_gb >= 0, f"closure_gb is {service.closure_gb}", "Write 0 or more."),
            ):
                if not fits:
                    yield Problem(node.name, f"{where}.{what}", cure)


def _routes(fleet: Fleet) -> Iterator[Problem]:
    for service in fleet.services():
        for node in fleet.backends(service.name):
            own = node.service(service.name)
            if own and own.route != service.route:
                yield Problem(
                    node.name,
                    f"services.{service.name}.route differs from other nodes'",
                    "Give a service one route in the whole fleet.",
                )
    owners = {front_page.ASSETS: "the front page", **dict.fromkeys(monitoring.PATHS, "the monitors")}
    for service in fleet.services():
        other = owners.setdefault(service.route.path, service.name)
        if other != service.name:
            yield Problem(
                fleet.environment,
                f"path {service.route.path} belongs to {other} and {service.name}",
                "Give each service its own route.path.",
            )


def _floors(fleet: Fleet) -> Iterator[Problem]:
    for service in fleet.services():
        where, nodes = f"services.{service.name}.floor", len(fleet.backends(service.name))
        for wanted in {node.service(service.name).floor for node in fleet.backends(service.name)}:  # type: ignore[union-attr]
            try:
                least = waves.floor(wanted, nodes)
            except ValueError:
                yield Problem(fleet.environment, f"{where} is {wanted!r}", "Write a number of nodes or one like 50%.")
                continue
            if least >= nodes:
                yield Problem(
                    fleet.environment,
                    f"{where} is {wanted!r}, so that {least} of {nodes} nodes must serve at all times: none could ever "
                    "be changed",
                    "Lower it, or add a node.",
                )


def _rollout(fleet: Fleet) -> Iterator[Problem]:
    for node in fleet.nodes:
        rollout = node.rollout
        for fits, what, cure in (
            (rollout == fleet.rollout, "rollout differs from the first node's", "Set it for all or an environment."),
            (rollout.canaries >= 0, f"rollout.canaries is {rollout.canaries}", "Write 0 or more."),
            (all(0 < share <= 1 for share in rollout.fractions), "rollout.fractions", "Write shares above 0, up to 1."),
            (rollout.lock_seconds >= 60, f"rollout.lock_seconds is {rollout.lock_seconds}", "Write 60 or more."),
        ):
            if not fits:
                yield Problem(node.name, what, cure)


def _cleanup(fleet: Fleet) -> Iterator[Problem]:
    for node in fleet.nodes:
        if node.cleanup:
            yield from (Problem(node.name, what, cure) for what, cure in nonsense(node.cleanup))


def _health(fleet: Fleet) -> Iterator[Problem]:
    for node in fleet.nodes:
        yield from (Problem(node.name, what, cure) for what, cure in health.nonsense(node.health))


def _notifications(fleet: Fleet) -> Iterator[Problem]:
    monitors = [node for node in fleet.nodes if node.alertmanager]
    for node in monitors:
        found = list(maintenance.nonsense(node.maintenance, [one.name for one in fleet.nodes]))
        if node.alertmanager and node.notifications:
            found += notifications.nonsense(node.alertmanager, node.notifications)
        else:
            found.append(("notifications is missing", "Set it in group_data/monitors.py."))
        if (node.notifications, node.maintenance) != (monitors[0].notifications, monitors[0].maintenance):
            found.append(("notifications or maintenance differs from the first monitor's", "Set them for all."))
        yield from (Problem(node.name, what, cure) for what, cure in found)


def _backup(fleet: Fleet) -> Iterator[Problem]:
    for node in fleet.nodes:
        found = list(backup.nonsense(node.backup)) if node.backup else []
        if node.backup_repository:
            found += backup.repository_nonsense(node.backup_repository)
            if node.backup is None:
                found.append(("backup_repository without backup", "Say in backup when and how data are kept."))
        for service in node.services:
            found += [(f"services.{service.name}.{what}", cure) for what, cure in backup.items_nonsense(service.backup)]
        yield from (Problem(node.name, what, cure) for what, cure in found)


def _rotation(fleet: Fleet) -> Iterator[Problem]:
    for node in fleet.nodes:
        if not node.gateway:
            continue
        rotation = node.gateway.rotation
        for fits, key, cure in (
            (rotation.interval_seconds >= 1, "interval_seconds", "Write 1 or more."),
            (rotation.rise >= 1, "rise", "Write 1 or more."),
            (rotation.fall >= 1, "fall", "Write 1 or more."),
            (0 < rotation.fail_open_share <= 1, "fail_open_share", "Write a share above 0, up to 1."),
            (rotation.gather_seconds >= 0, "gather_seconds", "Write 0 or more."),
            (rotation.warm_seconds >= 1, "warm_seconds", "Write 1 or more."),
        ):
            if not fits:
                yield Problem(node.name, f"gateway.rotation.{key} is {getattr(rotation, key)}", cure)


def _front_page(fleet: Fleet) -> Iterator[Problem]:
    for node in fleet.nodes:
        if node.gateway:
            yield from (Problem(node.name, *found) for found in front_page.nonsense(node.gateway.front_page))


def _firewall(fleet: Fleet) -> Iterator[Problem]:
    for node in fleet.nodes:
        if node.firewall:
            yield from (Problem(node.name, *found) for found in firewall.nonsense(node.firewall, dict(node.ports())))


def _dashboards(fleet: Fleet) -> Iterator[Problem]:
    for node in fleet.nodes:
        if node.grafana:
            yield from (Problem(node.name, *found) for found in grafana.nonsense(node.grafana))
        if node.capacity:
            yield from (Problem(node.name, *found) for found in outlook.nonsense(node.capacity))


def _gateway_log(fleet: Fleet) -> Iterator[Problem]:
    for node in fleet.nodes:
        if node.gateway:
            yield from (Problem(node.name, *found) for found in gateway_log.nonsense(node.gateway.log))


RULES: tuple[Callable[[Fleet], Iterator[Problem]], ...] = (
    _roles_are_filled,
    _addresses,
    _ports,
    _spellings,
    _probes,
    _fitness,
    _routes,
    _floors,
    models.nonsense,
    model_store.problems,
    _rollout,
    _health,
    _cleanup,
    patching.problems,
    optimization.problems,
    _backup,
    _notifications,
    _rotation,
    entrance.problems,
    gateways.floating_problems,
    _front_page,
    _gateway_log,
    _firewall,
    _dashboards,
    depots.problems,
    turns.problems,
    promises.problems,
)
