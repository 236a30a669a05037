"""Who is in the lab: the nodes of a pyinfra inventory file."""

import ipaddress
import runpy
from dataclasses import dataclass
from pathlib import Path

from lab.state import LabError

ROLES = ("gpu_nodes", "gateways", "monitors")
"""The inventory groups that hold nodes."""

SUBNET = ipaddress.ip_network("198.18.0.0/24")
"""The lab's network, from RFC 2544's range for testing: no real machine has such an address."""

MACHINE_ADDRESS = "198.18.0.1"
"""This machine's end of the lab's network, where the package mirror listens."""


FLOATING_ADDRESS = "198.18.0.20"
"""The address that is whichever gateway's is alive."""

MONITOR_ADDRESS = "198.18.0.31"
"""The first monitor's, which has the store of backups."""


@dataclass(frozen=True)
class Node:
    """One machine of the lab.

    Attributes:
        name: Inventory name, also its hostname.
        address: IPv4 address in SUBNET.
        roles: Inventory groups it is in, in ROLES order.
        ssh_user: The user the deploy logs in as; the lab itself always uses root.
    """

    name: str
    address: str
    roles: tuple[str, ...]
    ssh_user: str = "root"


def load(inventory: Path) -> tuple[Node, ...]:
    """Read the nodes of an inventory file, in its order.

    Args:
        inventory: A pyinfra inventory: Python whose ROLES lists hold (name, {"ssh_hostname": address}).

    Raises:
        LabError: The file is missing, or a node has no address the lab can give it.
    """
    if not inventory.is_file():
        raise LabError(f"{inventory} is no file; name an inventory with --inventory")
    groups = runpy.run_path(str(inventory))
    nodes: dict[str, Node] = {}
    for role in ROLES:
        for entry in groups.get(role, []):
            name, data = (entry, {}) if isinstance(entry, str) else entry
            roles = (*nodes[name].roles, role) if name in nodes else (role,)
            address = _address(inventory, name, data)
            nodes[name] = Node(name, address, roles, data.get("ssh_user", "root"))
    _refuse_twins(inventory, tuple(nodes.values()))
    return tuple(nodes.values())


def _address(inventory: Path, name: str, data: dict[str, object]) -> str:
    address = str(data.get("ssh_hostname", ""))
    try:
        inside = ipaddress.ip_address(address) in SUBNET and address != MACHINE_ADDRESS
    except ValueError:
        inside = False
    if not inside:
        raise LabError(
            f"{inventory}: {name} has ssh_hostname {address!r}; the lab needs an address in {SUBNET} "
            f"other than {MACHINE_ADDRESS}"
        )
    return address


def _refuse_twins(inventory: Path, nodes: tuple[Node, ...]) -> None:
    owners: dict[str, str] = {}
    for node in nodes:
        other = owners.setdefault(node.address, node.name)
        if other != node.name:
            raise LabError(f"{inventory}: {other} and {node.name} both have {node.address}; change one")
