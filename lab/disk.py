"""A node's disk: an overlay over the cached tree, a /var of its own, and what makes it this node."""

import shutil
import subprocess
import uuid
from pathlib import Path

from lab import backup_store, hardware, keys, mirror
from lab.roster import Node
from lab.state import STATE


def home(name: str) -> Path:
    """Return where a node's disk and boot log are."""
    return STATE / "nodes" / name


def changes(name: str) -> Path:
    """Return the overlay's upper directory: the node's files as far as they differ from the tree's."""
    return home(name) / "upper"


def create(node: Node, tree: Path) -> None:
    """Make a fresh disk for a node that does not run.

    /var is no part of the overlay but a copy on this machine's own file system: systemd can id-map a
    DynamicUser's StateDirectory there as on a real disk, which overlayfs refuses (systemd 257, Linux 6.18).
    """
    destroy(node.name)
    for part in ("upper", "work", "root"):
        (home(node.name) / part).mkdir(parents=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(tree / "var"), str(home(node.name) / "var")], check=True)
    _place(node, "etc/hostname", node.name + "\n")
    _place(node, "etc/hosts", f"127.0.0.1 localhost\n{node.address} {node.name}\n")
    _place(node, "etc/machine-id", uuid.uuid4().hex + "\n", mode=0o444)
    _place(node, "etc/apt/sources.list", mirror.source_lines(tree))
    if "monitors" in node.roles:
        backup_store.place(changes(node.name))
    for user in ("root", "operator"):
        _place(node, f"etc/ssh/authorized_keys/{user}", keys.public_key())


def destroy(name: str) -> None:
    """Remove the disk of a node that does not run."""
    shutil.rmtree(home(name), ignore_errors=True)


def identify(node: Node) -> str:
    """Make the node's host key, if it has none, and return its public half."""
    directory = changes(node.name) / "etc/ssh"
    directory.mkdir(parents=True, exist_ok=True)
    return keys.host_key(directory, node.name)


def fit_hardware(node: Node) -> None:
    """Give a node the trees that stand for its hardware."""
    hardware.install(changes(node.name), node.name)


def _place(node: Node, path: str, text: str, mode: int = 0o644) -> None:
    target = changes(node.name) / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)
