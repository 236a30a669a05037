"""One node's power switch: start its container, wait until it serves, pull the plug."""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path

from lab import cgroups, disk, keys, network
from lab.roster import Node
from lab.state import LabError, Process

SCRIPT = r"""
set -eu
tree=$1 home=$2; shift 2
for group in $LAB_GROUPS; do echo $$ > "$group/cgroup.procs"; done
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$home/upper,workdir=$home/work" "$home/root"
unset LAB_GROUPS
# Under --keep-unit nspawn leaves a reboot to whoever started it, with exit status 133 (systemd's nspawn.c).
status=133
while [ "$status" = 133 ]; do
  "$@" & machine=$!
  trap 'kill -TERM "$machine"' TERM
  # A signal ends the first wait, and not the machine.
  while status=0; wait "$machine" || status=$?; [ "$status" -gt 128 ] && kill -0 "$machine" 2>/dev/null; do :; done
done
exit "$status"
"""
"""Run in a mount namespace of its own: the overlay ends with the node, whatever ends the node.

A node that reboots by itself gets the same disk and the same wire, and a boot id of its own.
"""

INIT = "for group in {groups}; do mount -o remount,rw,bind /sys/fs/cgroup/$group; done; exec /usr/lib/systemd/systemd"
"""The node's first process on a hybrid machine: makes the controllers writable, then becomes systemd."""


def container(node: Node) -> list[str]:
    """Return the nspawn command that boots a node.

    bpf(2) and all capabilities let the node's systemd enforce its device, IP and socket rules and Nix build
    in its sandbox. The clock and kernel modules are the machine's, so those two capabilities are dropped.
    """
    command = [
        *("systemd-nspawn", "--quiet", f"--machine={node.name}", f"--directory={disk.home(node.name) / 'root'}"),
        *("--register=no", "--keep-unit", "--link-journal=no", "--console=read-only"),
        *("--resolv-conf=off", "--timezone=off", f"--bind={disk.home(node.name) / 'var'}:/var"),
        f"--network-namespace-path={network.NETNS / network.namespace(node.name)}",
        *("--capability=all", "--drop-capability=CAP_SYS_MODULE,CAP_SYS_TIME"),
        "--system-call-filter=bpf perf_event_open @keyring",
    ]
    groups = cgroups.writable_in_node()
    if not groups:
        return [*command, "--boot"]
    # Not --boot: the shell must come first. SIGRTMIN+3 is what makes systemd power off (systemd(1)).
    return [*command, "--kill-signal=SIGRTMIN+3", "/bin/sh", "-c", INIT.format(groups=shlex.join(groups))]


def start(node: Node, tree: Path) -> Process:
    """Start a node's container on a fresh wire; it is booting when this returns."""
    network.plug(node)
    disk.fit_hardware(node)
    groups = cgroups.create(node.name)
    command = [
        *cgroups.launcher(node.name),
        *("unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"),
        *(str(tree), str(disk.home(node.name)), *container(node)),
    ]
    return Process.launch(command, log(node.name), _environment(groups))


def _environment(groups: list[Path]) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    # The settings of a node's own network (/proc/sys/net) are its own business, as on a machine.
    inherited |= {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
    return inherited | {"LAB_GROUPS": " ".join(map(str, groups)), "TERM": "dumb", "SYSTEMD_COLORS": "0"}


def log(name: str) -> Path:
    """Return the file with a node's console output."""
    return disk.home(name) / "console.log"


def await_ready(node: Node, process: Process, seconds: float = 90) -> str:
    """Wait until a node answers ssh and its boot is complete.

    Returns:
        systemd's word for its state: "running", or "degraded" when a unit failed.

    Raises:
        LabError: The container ended, or the deadline passed; with the end of the console's output.
    """
    deadline = time.monotonic() + seconds
    while not _listens(node.address):
        if not process.alive():
            raise LabError(f"{node.name} ended while it booted:\n{_last_lines(node.name)}")
        if time.monotonic() > deadline:
            raise LabError(f"{node.name} does not answer ssh after {seconds:.0f} s:\n{_last_lines(node.name)}")
        time.sleep(0.05)
    left = max(1.0, deadline - time.monotonic())
    answer = run(node, "systemctl is-system-running --wait", seconds=left)
    if answer.returncode == 255:
        raise LabError(f"{node.name} refuses ssh: {answer.stderr.strip()}")
    return answer.stdout.strip()


def _listens(address: str) -> bool:
    try:
        socket.create_connection((address, 22), timeout=1).close()
    except OSError:
        return False
    return True


def _last_lines(name: str, count: int = 15) -> str:
    return "\n".join(log(name).read_text(errors="replace").splitlines()[-count:])


def run(node: Node, command: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a shell command on a node as root, over ssh.

    Raises:
        LabError: It takes longer than that many seconds.
    """
    try:
        return subprocess.run(
            [*keys.ssh_command(node.address), command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{node.name}: `{command}` took longer than {seconds:.0f} s") from error


def shut_down(name: str, process: Process, seconds: float = 20) -> None:
    """Ask a node to power off, and cut its power when it does not within that many seconds."""
    process.stop(signal.SIGTERM)
    process.wait(seconds)
    cut_power(name)


def cut_power(name: str) -> None:
    """Kill everything in a node at once and clear its groups; its disk stays as it was that moment."""
    cgroups.kill(name)
    cgroups.remove(name)
    # nspawn leaves its end of the channel for later mounts behind, and the directories above.
    leftover = Path("/run/systemd/nspawn/propagate", name)
    for directory in (leftover, leftover.parent, leftover.parents[1] / "locks", leftover.parents[1]):
        with contextlib.suppress(OSError):  # another container's may stand there
            directory.rmdir()
