"""What differs in the lab: small limits, engines that stand for the real ones, sysfs trees that stand for GPUs."""

environment = "lab"

ssh_key = "/var/lib/ipex-lab/ssh/id_ed25519"
ssh_known_hosts_file = "/var/lib/ipex-lab/ssh/known_hosts"
ssh_strict_host_key_checking = "yes"

# The lab's own flake, packed by `python -m lab up`; `python -m lab.pin` prints the pin.
flake = {
    "url": "http://198.18.0.1:3142/flake/ipex-flake-1-8c1f6a00.tar.gz",
    "nar_hash": "sha256-jB9qAJX8Zmv7vH4aGziTHgu397CmdW4t4qApzmg455c=",
}

# The lab has no route to a binary cache, and builds its three small packages itself.
nix = {"substituters": []}

# Where a lab node keeps the trees that stand for its hardware.
paths = {"sysfs": "/lab/sysfs", "procfs": "/lab/proc", "kernel_log": "/lab/kmsg", "render_node": None}

# Numbers for tests, which start the health monitor themselves: it must not mend what other tests break.
health = {
    "calendar": "yearly",
    "spread_seconds": 0,
    "tries": 2,
    "try_seconds": 1,
    "busy_runs": 1,
    "leave_seconds": 2,
    "restarts": 3,
    "window_seconds": 3600,
    "backoff_seconds": 0,
    "disk_share": 0.85,
    "circuit_share": 0.5,
    "circuit_nodes": 2,
}

_SMALL = {
    "memory_max": "1G",
    "cpu_quota": "100%",
    # The lab's engines are Python programs; a real engine runs from /nix/store alone.
    "exec_paths": ["/nix/store", "/usr"],
    "egress": [],
    "disk_gb": 1,
    "closure_gb": 1,
    "drain_seconds": 30,
    "probe_seconds": 20,
    # Of three nodes one may be down and one may change.
    "floor": 1,
}
service_overrides = {"ollama": _SMALL, "comfyui": _SMALL}
