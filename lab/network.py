"""The lab's wires: a bridge in a network namespace of its own, a namespace per node, one wire to this machine."""

import ipaddress
import json
import shutil
import subprocess
from pathlib import Path

from lab.roster import MACHINE_ADDRESS, SUBNET, Node
from lab.state import LabError, Ledger

FLEET = "ipexlab"
"""Namespace with the bridge."""

BRIDGE = "bridge"
MACHINE_WIRE = "ipexlab0"
"""This machine's end of its wire into the bridge; the only thing visible outside the namespaces."""

NETNS = Path("/run/netns")


def namespace(name: str) -> str:
    """Return the name of a node's network namespace."""
    return f"{FLEET}-{name}"


def create(ledger: Ledger) -> None:
    """Make the bridge and this machine's wire into it; what exists already is kept."""
    if not NETNS.exists():
        ledger.made_netns_directory = True
        ledger.save()
    if not (NETNS / FLEET).exists():
        _ip("netns", "add", FLEET)
        # No spanning tree and no forwarding delay: a node must be reachable as soon as it is plugged in.
        _ip("-n", FLEET, "link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "forward_delay", "0")
        _ip("-n", FLEET, "link", "set", BRIDGE, "up")
    if not Path("/sys/class/net", MACHINE_WIRE).exists():
        _ip("link", "add", MACHINE_WIRE, "type", "veth", "peer", "name", "machine", "netns", FLEET)
        _ip("-n", FLEET, "link", "set", "machine", "master", BRIDGE, "up")
        _ip("address", "add", f"{MACHINE_ADDRESS}/{SUBNET.prefixlen}", "dev", MACHINE_WIRE)
        _ip("link", "set", MACHINE_WIRE, "up")


def plug(node: Node) -> None:
    """Give a node a fresh namespace with `host0` on the bridge, its address set before it boots."""
    unplug(node.name, node.address)
    space, port = namespace(node.name), _port(node.address)
    _ip("netns", "add", space)
    # The same hardware address at every boot, as a real machine has: a neighbour that still knows another
    # one would not reach the node for half a minute.
    hardware = ["address", _hardware_address(node.address)]
    _ip("-n", FLEET, "link", "add", port, "type", "veth", "peer", "name", "host0", *hardware, "netns", space)
    _ip("-n", FLEET, "link", "set", port, "master", BRIDGE, "up")
    _ip("-n", space, "address", "add", f"{node.address}/{SUBNET.prefixlen}", "dev", "host0")
    _ip("-n", space, "link", "set", "lo", "up")
    _ip("-n", space, "link", "set", "host0", "up")


def unplug(name: str, address: str) -> None:
    """Remove a node's namespace and wire, if they are there."""
    # The wire first: it would follow its namespace, but only some time later, in the kernel's background.
    if (NETNS / FLEET).exists() and _port(address) in _links(FLEET):
        _ip("-n", FLEET, "link", "delete", _port(address))
    if (NETNS / namespace(name)).exists():
        _ip("netns", "delete", namespace(name))


def remove(ledger: Ledger) -> None:
    """Remove the bridge, this machine's wire and what `ip netns` made for them."""
    if Path("/sys/class/net", MACHINE_WIRE).exists():
        _ip("link", "delete", MACHINE_WIRE)
    for space in NETNS.glob(f"{FLEET}*"):
        _ip("netns", "delete", space.name)
    if ledger.made_netns_directory and NETNS.is_dir() and not any(NETNS.iterdir()):
        # `ip netns` mounts the directory on itself, so that namespaces show up everywhere. Path.is_mount()
        # does not see that: both sides are the same file system.
        mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for _ in range(mounted.count(str(NETNS))):
            _run(["umount", str(NETNS)])
        NETNS.rmdir()


def _port(address: str) -> str:
    # Names of interfaces end at 15 characters, so the address tells the wires apart.
    return f"node{int(ipaddress.ip_address(address)) - int(SUBNET.network_address)}"


def _hardware_address(address: str) -> str:
    # 02: locally administered (IEEE 802), so no maker's.
    return "02:00:" + ":".join(f"{byte:02x}" for byte in ipaddress.ip_address(address).packed)


def _links(space: str) -> set[str]:
    return {link["ifname"] for link in json.loads(_ip("-n", space, "-json", "link", "show") or "[]")}


def _ip(*arguments: str) -> str:
    return _run([shutil.which("ip") or "/usr/sbin/ip", *arguments])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout
