"""What every node of every environment shares. An environment's own file holds only what differs.

A value given nearer to the node wins, key by key and without merging: all, role, environment, node, `--data`.
"""

import socket as _socket

from paramiko import Transport as _Transport


def _without_nagle(sock: _socket.socket, **options: object) -> _Transport:
    """Send each command at once: Nagle's algorithm costs about 40 ms a command on a fast network."""
    sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    return _Transport(sock, **options)


# How pyinfra connects. A hung node must not hold everybody for ever: 600 s for one command.
ssh_paramiko_connect_kwargs = {"transport_factory": _without_nagle}
_timeout = 600

# The IPEX flake, pinned. PUT YOUR OWN HERE: the brief's name stands for it, and Nix refuses a hash that does not
# fit. `nix flake metadata --json URL` prints revision and narHash under `locked`.
flake = {
    "url": "github:yourusername/ipex-flake/0000000000000000000000000000000000000000",
    "nar_hash": "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
}

# What a node must be before anything is installed on it.
requirements = {
    # ID:VERSION_ID of /etc/os-release that packages and units are tested on.
    "distributions": ["debian:13", "ubuntu:24.04", "ubuntu:26.04"],
    # GPU classes (fleet/gpus.toml) that may serve; the rest is refused.
    "gpu_classes": ["arc", "xe-lp"],
    # GPU classes that may serve with a warning.
    "gpu_classes_warned": ["xe-lp"],
    # Less installed memory than this is let through with a warning (GB).
    "memory_gb": 16,
}

# The node's own agent: readiness, metrics, its part of a rollout.
agent = {"port": 9090}

# How a change goes through the fleet. Each service's own floor stands in gpu_nodes.py.
rollout = {
    # GPU nodes that change alone, before all others.
    "canaries": 1,
    # The waves behind them, as shares of the rest; what is left is the last wave.
    "fractions": [0.25, 0.5],
    # After how long the lock of a controller that died ends by itself; a live one renews it.
    "lock_seconds": 900,
    # What a run that changes anything must say: "none", or "limit-or-confirm" (--limit, or --data confirm=NAME).
    "guard": "none",
}

# Debian's node_exporter, on every node.
node_exporter = {"port": 9100}

# Where a node keeps what the kernel tells of its hardware.
paths = {
    "sysfs": "/sys",
    "procfs": "/proc",
    # The engines wait for this device: started without it, they would stay on the CPU.
    "render_node": "/dev/dri/renderD128",
}
