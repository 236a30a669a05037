"""The lab as a whole: `up`, `down`, and one node's power, for the command line and for tests."""

import ipaddress
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from lab import (
    authority,
    backup_store,
    cgroups,
    disk,
    gateways,
    keys,
    machine,
    mirror,
    network,
    pin,
    roster,
    secrets,
    state,
    tree,
)
from lab import boot as power
from lab.roster import Node
from lab.state import CACHE, STATE, LabError, Ledger, NodeRecord

AT_A_TIME = 4
"""Nodes that boot at the same time: more only slow each other down on a small machine."""

Announce = Callable[[str], None]
"""Takes one line of progress."""

_ledger_lock = Lock()


def up(inventory: Path, announce: Announce = print) -> tuple[Node, ...]:
    """Boot every node of an inventory that does not run yet; nodes that run are left alone.

    Args:
        inventory: The pyinfra inventory file.
        announce: Called with each line of progress.

    Returns:
        The inventory's nodes, all running.

    Raises:
        LabError: This machine cannot run the lab, or a node does not boot.
    """
    if obstacle := machine.obstacle():
        raise LabError(obstacle)
    nodes = roster.load(inventory)
    with state.lock():
        if installed := machine.install_packages():
            announce(f"installed on this machine: {' '.join(installed)}")
        ledger = Ledger.load()
        ledger.save()
        lower = _ground(ledger, nodes, announce)
        waiting = [node for node in nodes if not _runs(ledger, node)]
        announce(f"{len(nodes) - len(waiting)} of {len(nodes)} nodes run already")
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(lambda node: _bring_up(ledger, node, lower, announce), waiting))
    return nodes


def _ground(ledger: Ledger, nodes: tuple[Node, ...], announce: Announce) -> Path:
    """Set up all that nodes stand on, and return the tree."""
    if not tree.path().is_dir():
        announce("building the Debian 13 tree (once; about half a minute)")
    lower = tree.build()
    if ledger.mirror is None and not any(record.running() for record in ledger.nodes.values()):
        tree.prune()
    if raised := machine.raise_limits(ledger):
        announce(f"raised for the lab: {', '.join(raised)}")
    keys.create()
    addresses = [node.address for node in nodes if "gateways" in node.roles]
    authority.create(gateways.name(), (roster.FLOATING_ADDRESS, *addresses))
    secrets.create(authority.secrets() | backup_store.secrets())
    network.create(ledger)
    if mirror.start(lower, ledger):
        announce(f"package mirror on http://{roster.MACHINE_ADDRESS}:{mirror.PORT}/")
    pin.publish(mirror.WWW)
    return lower


def _runs(ledger: Ledger, node: Node) -> bool:
    record = ledger.nodes.get(node.name)
    if record is None or not record.running():
        return False
    if record.address != node.address:
        raise LabError(
            f"{node.name} runs with {record.address}, the inventory says {node.address}; run `python -m lab down` first"
        )
    return True


def _bring_up(ledger: Ledger, node: Node, lower: Path, announce: Announce) -> None:
    begun = time.monotonic()
    record = ledger.nodes.get(node.name)
    if record is not None:
        power.cut_power(node.name)  # what a crash of the machine's own session may have left running
    keep = record is not None and record.tree == str(lower) and disk.changes(node.name).is_dir()
    if not keep:
        disk.create(node, lower)
    condition = _start(ledger, node, lower)
    if condition != "running" and not keep:
        failed = power.run(node, "systemctl --failed --no-legend --plain").stdout.strip()
        raise LabError(f"{node.name} booted, but is {condition}: {failed}")
    kept = " with the disk it had" if keep else ""
    announce(f"{node.name} {node.address} is {condition} after {time.monotonic() - begun:.1f} s{kept}")


def _start(ledger: Ledger, node: Node, lower: Path) -> str:
    with _ledger_lock:
        keys.know({f"{node.name},{node.address}": disk.identify(node)})
        record = NodeRecord(node.address, list(node.roles), node.ssh_user, str(lower))
        ledger.nodes[node.name] = record
        ledger.save()
    process = power.start(node, lower)
    with _ledger_lock:
        record.process = process
        ledger.save()
    return power.await_ready(node, process)


def down(*, cache: bool = False) -> None:
    """Stop every node and remove every trace of the lab but the cache of downloads.

    Args:
        cache: Remove that too.
    """
    with state.lock():
        ledger = Ledger.load()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda item: _take_down(*item), ledger.nodes.items()))
        mirror.stop(ledger)
        for stranger in cgroups.occupants():  # running, though no ledger says so: it was lost
            power.cut_power(stranger)
        network.remove(ledger)
        cgroups.remove_parent()
        machine.restore_limits(ledger)
        if STATE.exists():
            shutil.rmtree(STATE)
        if cache and CACHE.exists():
            shutil.rmtree(CACHE)
        state.LOCK.unlink()


def remove(names: list[str]) -> None:
    """Take some nodes down with their disks; the others run on.

    Raises:
        LabError: The lab has no such node.
    """
    with state.lock():
        for name in names:
            find(name)
        ledger = Ledger.load()
        for name in names:
            _take_down(name, ledger.nodes.pop(name))
            disk.destroy(name)
            ledger.save()


def _take_down(name: str, record: NodeRecord) -> None:
    if record.process is not None and record.process.alive():
        power.shut_down(name, record.process)
    else:
        power.cut_power(name)
    network.unplug(name, record.address)


def recorded() -> dict[str, NodeRecord]:
    """Return every node the lab knows, running or not, by name, in the order of roles and addresses."""
    records = Ledger.load().nodes

    def place(name: str) -> tuple[int, bytes]:
        record = records[name]
        return roster.ROLES.index(record.roles[0]), ipaddress.ip_address(record.address).packed

    return {name: records[name] for name in sorted(records, key=place)}


def running() -> tuple[Node, ...]:
    """Return the nodes that run now, whichever inventory they came from."""
    return tuple(_node(name, record) for name, record in recorded().items() if record.running())


def find(name: str) -> Node:
    """Return a recorded node by name.

    Raises:
        LabError: The lab has no such node.
    """
    records = recorded()
    if name not in records:
        known = ", ".join(records) or "none; run `python -m lab up`"
        raise LabError(f"the lab has no node {name!r} (it has: {known})")
    return _node(name, records[name])


def _node(name: str, record: NodeRecord) -> Node:
    return Node(name, record.address, tuple(record.roles), record.ssh_user)


def run(node: Node, command: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a shell command on a node as root, over ssh; see `lab.boot.run`."""
    return power.run(node, command, seconds)


def power_off(node: Node) -> None:
    """Cut a node's power: every process in it is killed at once, nothing is shut down."""
    with state.lock():
        ledger = Ledger.load()
        power.cut_power(node.name)
        record = ledger.nodes[node.name]
        if record.process is not None and not record.process.wait(10):
            raise LabError(f"{node.name} (pid {record.process.pid}) outlived its power")
        network.unplug(node.name, node.address)


def boot(node: Node) -> str:
    """Switch a node on again with the disk it had, wait for it, and return systemd's word for its state."""
    with state.lock():
        ledger = Ledger.load()
        if _runs(ledger, node):
            raise LabError(f"{node.name} runs already")
        power.cut_power(node.name)
        return _start(ledger, node, Path(ledger.nodes[node.name].tree))
