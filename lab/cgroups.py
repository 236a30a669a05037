"""The nodes' control groups: what makes MemoryMax, CPUQuota and DeviceAllow real inside a container.

On a machine with one unified hierarchy (cgroup v2) nspawn delegates it and all works. On a hybrid machine
(v1 controllers, v2 for systemd's own tracking) nspawn mounts the controllers read-only and systemd then
silently ignores every limit. There each node gets a group of its own in each controller's hierarchy, and
remounts them writable before its systemd starts (see `boot.py`): limits and device rules are then kept by
v1, IP and socket rules by BPF on v2, all in the same node. Measured with systemd 252 outside, 257 inside.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

from lab.state import LabError

CONTROLLERS = ("memory", "cpu", "cpuacct", "pids", "devices", "blkio")
"""v1 controllers a node owns. Not cpuset, whose groups refuse tasks until configured, nor freezer."""

PARENT = "ipexlab"
"""Group (on a hybrid machine) or slice (on a v2 machine with systemd) above all nodes."""


def unified() -> bool:
    """Tell whether this machine has cgroup v2 alone."""
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


def systemd_machine() -> bool:
    """Tell whether this machine's own PID 1 is systemd (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def mount_points() -> dict[str, Path]:
    """Return controller name to where its hierarchy is mounted; "systemd" and "unified" are among them."""
    points: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split()[:3]
        point = Path(left.split()[4])
        if kind == "cgroup2":
            points.setdefault("unified", point)
        elif kind == "cgroup":
            names = {option.removeprefix("name=") for option in options.split(",")}
            points |= dict.fromkeys(names & {*CONTROLLERS, "systemd"}, point)
    return points


def writable_in_node() -> list[str]:
    """List the directories under a node's /sys/fs/cgroup that it must remount writable."""
    if unified():
        return []
    points = mount_points()
    return sorted({points[name].name for name in CONTROLLERS if name in points})


def directories(node: str) -> list[Path]:
    """Return a node's groups, one in each hierarchy."""
    if unified() and systemd_machine():
        return [Path(f"/sys/fs/cgroup/{PARENT}.slice/{scope(node)}")]
    return sorted({point / PARENT / node for point in mount_points().values()})


def scope(node: str) -> str:
    """Return the name of the systemd scope that holds a node on a cgroup v2 machine."""
    return f"{PARENT}-{node}.scope"


def launcher(node: str) -> list[str]:
    """Return the command prefix that gets a delegated group from the machine's own systemd, where there is one."""
    if not (unified() and systemd_machine()):
        return []
    return [
        *("systemd-run", "--quiet", "--scope", "--collect", f"--slice={PARENT}", f"--unit={scope(node)}"),
        *("--property=Delegate=yes", "--"),
    ]


def create(node: str) -> list[Path]:
    """Make a node's groups and return those it must enter by itself."""
    if unified() and systemd_machine():
        return []
    for directory in directories(node):
        directory.mkdir(parents=True, exist_ok=True)
        if unified():
            _delegate(directory.parent)
    return directories(node)


def _delegate(parent: Path) -> None:
    for directory in (parent.parent, parent):
        offered = (directory / "cgroup.controllers").read_text().split()
        enabled = (directory / "cgroup.subtree_control").read_text().split()
        missing = [f"+{name}" for name in offered if name in {"cpu", "io", "memory", "pids"} - set(enabled)]
        if missing:
            (directory / "cgroup.subtree_control").write_text(" ".join(missing))


def members(node: str) -> set[int]:
    """Return the pids of everything in a node, its container's own process included."""
    pids: set[int] = set()
    for directory in directories(node):
        for group, _, _ in os.walk(directory):
            pids |= _processes(Path(group))
    # A process of another pid namespace that this one cannot see is listed as 0.
    return pids - {0}


def _processes(group: Path) -> set[int]:
    try:
        return {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
    except OSError:  # the group went away since it was listed
        return set()


def kill(node: str, seconds: float = 10) -> None:
    """Kill everything in a node at once, as a loss of power does, and wait until it is gone.

    Raises:
        LabError: Something was still there after that many seconds.
    """
    deadline = time.monotonic() + seconds
    while pids := members(node):
        if time.monotonic() > deadline:
            raise LabError(f"{node}: processes {sorted(pids)} survive SIGKILL; look at /proc/PID/stack")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # gone since it was listed
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def remove(node: str) -> None:
    """Remove a node's groups, which must be empty."""
    for directory in directories(node):
        for path in sorted(directory.rglob("*"), reverse=True):
            if path.is_dir():
                path.rmdir()
        if directory.is_dir():
            directory.rmdir()


def occupants() -> set[str]:
    """Return the names of all that have a group, whether or not the ledger knows them."""
    if unified() and systemd_machine():
        scopes = Path(f"/sys/fs/cgroup/{PARENT}.slice").glob(f"{PARENT}-*.scope")
        return {path.name.removeprefix(f"{PARENT}-").removesuffix(".scope") for path in scopes}
    groups = [path for point in mount_points().values() for path in (point / PARENT).glob("*")]
    return {path.name for path in groups if path.is_dir()}


def remove_parent() -> None:
    """Remove the group above the nodes, once the last node's is gone."""
    for point in mount_points().values():
        parent = point / PARENT
        if parent.is_dir() and not any(path.is_dir() for path in parent.iterdir()):
            parent.rmdir()
