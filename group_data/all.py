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
    # Which GPUs each engine runs on stands in gpu_nodes.py.
    # Less installed memory than this is let through with a warning (GB).
    "memory_gb": 16,
}

# The node's own agent: readiness, metrics, its part of a rollout.
agent = {"port": 9090}

# How often is measured, and after how long without news a source of metrics counts as silent (s).
metrics = {
    "gpu_seconds": 15,
    "traffic_seconds": 15,
    "status_seconds": 300,
    # Upper bounds (s) of the histogram of requests' durations; the brief's objective, 2, must be one of them.
    "duration_buckets": [0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 900],
    # status and health are looked at every five minutes, cleanup runs once a week, the optimizer once a day.
    "silent_seconds": {
        "gpu": 60,
        "traffic": 60,
        "status": 900,
        "health": 900,
        "cleanup": 864000,
        "optimizer": 259200,
    },
}

# How the health monitor judges the engines of a GPU node and repairs them.
health = {
    # When it runs, in systemd's words (systemd.time(7)), and how far the nodes are spread behind that.
    "calendar": "*:0/5",
    "spread_seconds": 60,
    # So many failures in a row make a verdict; one silence of a whole probe_seconds does, too.
    "tries": 3,
    "try_seconds": 10,
    # Runs in a row in which an engine may be too busy with users' work to be proved.
    "busy_runs": 3,
    # What is in flight on a condemned engine has this long to end before the restart.
    "leave_seconds": 120,
    # So many restarts of a service in a window, the second after backoff_seconds, each later one after twice as long;
    # then it stays out of rotation. A second reset of a GPU in a window asks for a reboot.
    "restarts": 3,
    "window_seconds": 3600,
    "backoff_seconds": 300,
    # A file system fuller than this is cleaned up.
    "disk_share": 0.85,
    # If more than this share of a service's nodes, and at least so many, fail the same check, none repairs itself.
    "circuit_share": 0.5,
    "circuit_nodes": 2,
}

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

# How nodes are kept current beside what this project installs.
patching = {
    # How long a node may take from the command to reboot until it answers again over SSH (s).
    "reboot_seconds": 900,
}

# Who may reach a node beside the fleet itself, whose own traffic follows from the model. None instead of this: no
# firewall of this project on that node. Sources are "any", networks, or gpu_nodes, gateways, monitors.
firewall = {
    # Where sshd listens, and from where people and the controller come.
    "ssh_ports": [22],
    "ssh_from": ["any"],
    # New rules end by themselves after this long, unless a new SSH connection has confirmed them.
    "confirm_seconds": 30,
    # Ports of programs that are not the fleet's:
    #   {"backup": {"protocol": "tcp", "ports": [873], "sources": ["192.0.2.0/24"]}}
    "also": {},
}

# One node keeps for all what is built once: closures as a Nix binary cache, and generations that are published for
# nodes (docs/operate/depot.md). None instead of this: each node builds or fetches for itself.
depot = {
    # None: the first monitor. It builds what no cache has, too.
    "node": None,
    "port": 8480,
    # Connections at once, of all nodes together; Nix opens up to 25 a node.
    "connections": 512,
    # What built closures may take (GB); what a node's generations need is never removed. Their downloads are packed: a
    # release of both engines and the drivers takes about 8 (an estimate).
    "cache_gb": 60,
    # A build leaves so much free, in Nix's store and where the depot lies (GB).
    "free_gb": 10,
}

# Debian's node_exporter, on every node.
node_exporter = {"port": 9100}

# Where a node keeps what the kernel tells of its hardware.
paths = {
    "sysfs": "/sys",
    "procfs": "/proc",
    "kernel_log": "/dev/kmsg",
    # The engines wait for this device: started without it, they would stay on the CPU.
    "render_node": "/dev/dri/renderD128",
}

# Nodes bring themselves up to date with what tasks/publish.py has put into the depot, each when a window of its opens,
# by the same transaction as a deploy's (docs/operate/updates.md). Nothing reboots by this: what needs it waits for a
# person and tasks/reboot.py.
updates = {
    "enable": False,
    # Weekly, daily, or once, by a clock in a time zone: "sunday 02:00", "daily 02:00", "2026-03-01 20:00". Any does.
    "windows": [{"name": "night", "start": "daily 01:00", "end": "daily 05:00", "time_zone": "UTC"}],
    # Days on which no window opens: {"name": "holidays", "first": "2026-12-24", "last": "2027-01-01"}
    "blackouts": [],
    # How far nodes are spread behind a window's start, each at a fixed moment (the brief's randomizedDelaySec).
    "random_delay": "45min",
    # So many nodes change at once at most; rollout.canaries of them first, and the others so long after these.
    "concurrent": 2,
    "soak_seconds": 300,
    # Nothing begins where less of a window is left.
    "reserve_seconds": 900,
    "ask_seconds": 20,
    # A node that has not spoken so long after its turn began counts as lost, and nobody else begins.
    "lease_seconds": 3600,
    # What was published so long ago is taken no more.
    "valid_days": 14,
    # Where the first monitor says whose turn it is.
    "port": 9097,
}
