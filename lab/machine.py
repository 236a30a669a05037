"""This machine: can it run the lab, what is missing, and which of its kernel's limits are too low."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from lab.roster import SUBNET
from lab.state import STATE, LabError, Ledger

TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
    "mount": "mount",
}
"""Program to the Debian package that has it."""

DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""Present on Debian; Ubuntu has it in the package debian-archive-keyring."""

KERNEL_LIMITS = {
    # A systemd takes several inotify instances; the default 128 is used up by about 25 nodes.
    "fs/inotify/max_user_instances": 8192,
    "fs/inotify/max_user_watches": 524288,
    # Each unit gets a session keyring, and root's quota is shared by all nodes.
    "kernel/keys/maxkeys": 20000,
    "kernel/keys/maxbytes": 4000000,
}
"""/proc/sys path to the least value a fleet of about 60 nodes needs."""


def obstacle() -> str | None:
    """Say in one sentence why this machine cannot run the lab; None when it can."""
    if sys.platform != "linux":
        return "the lab needs Linux: its nodes are containers with a systemd of their own"
    if os.geteuid() != 0:
        return "the lab needs root for namespaces and mounts (try sudo)"
    if missing_packages() and shutil.which("apt-get") is None:
        return f"the lab needs {', '.join(missing_packages())}, and there is no apt-get to install them with"
    if not missing_packages() and not _namespaces():
        return "the kernel refuses root new mount and network namespaces (is this an unprivileged container?)"
    if _file_system() == "overlayfs":
        return f"{STATE.parent} is itself an overlay, on which no node's disk can lie; mount a real disk at {STATE}"
    return _foreign_route()


def missing_packages() -> list[str]:
    """List the Debian packages this machine lacks."""
    packages = {package for program, package in TOOLS.items() if shutil.which(program) is None}
    if not DEBIAN_KEYRING.exists():
        packages.add("debian-archive-keyring")
    return sorted(packages)


def install_packages() -> list[str]:
    """Install what is missing, starting no service, and return the packages' names.

    Raises:
        LabError: apt could not install them.
    """
    packages = missing_packages()
    if not packages:
        return []
    # SYSTEMD_OFFLINE makes systemctl in maintainer scripts start nothing (systemd's ENVIRONMENT.md).
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_OFFLINE": "1"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "-q", *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise LabError(f"apt-get {' '.join(arguments)} failed on this machine:\n{done.stderr.strip()}")
    return packages


def _namespaces() -> bool:
    return subprocess.run(["unshare", "-m", "-n", "true"], capture_output=True, check=False).returncode == 0


def _file_system() -> str:
    shown = STATE if STATE.is_dir() else STATE.parent
    done = subprocess.run(
        ["stat", "--file-system", "--format=%T", str(shown)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _foreign_route() -> str | None:
    if shutil.which("ip") is None:
        return None
    shown = subprocess.run(
        ["ip", "-json", "route", "show", "root", str(SUBNET)], capture_output=True, text=True, check=False
    )
    devices = {route.get("dev") for route in json.loads(shown.stdout or "[]")} - {"ipexlab0"}
    if not devices:
        return None
    return f"{SUBNET} is already in use on this machine ({', '.join(map(str, sorted(map(str, devices))))})"


def raise_limits(ledger: Ledger) -> list[str]:
    """Raise the kernel limits that are too low, note the old values, return what was raised."""
    raised = []
    for name, least in KERNEL_LIMITS.items():
        path = Path("/proc/sys") / name
        if path.exists() and int(path.read_text()) < least:
            ledger.kernel_limits.setdefault(name, path.read_text().strip())
            ledger.save()
            path.write_text(str(least))
            raised.append(name)
    return raised


def restore_limits(ledger: Ledger) -> None:
    """Give the kernel limits back their old values, except where somebody changed them since."""
    for name, old in ledger.kernel_limits.items():
        path = Path("/proc/sys") / name
        if path.read_text().strip() == str(KERNEL_LIMITS.get(name)):
            path.write_text(old)
