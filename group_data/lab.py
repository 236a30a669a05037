"""What differs in the lab: small limits, engines that stand for the real ones, sysfs trees that stand for GPUs."""

environment = "lab"

ssh_key = "/var/lib/ipex-lab/ssh/id_ed25519"
ssh_known_hosts_file = "/var/lib/ipex-lab/ssh/known_hosts"
ssh_strict_host_key_checking = "yes"

# The lab's own flake, packed by `python -m lab up`; `python -m lab flake` prints the pin.
flake = {
    "url": "http://198.18.0.1:3142/flake/ipex-flake-1-49fdfde0.tar.gz",
    "nar_hash": "sha256-Sf394KFQrv95TSTct1ZGv/WunUsnCbr2TrCZlkEXgwU=",
}

# The lab has no route to a binary cache, and builds its three small packages itself.
nix = {"substituters": []}

# Where a lab node keeps the trees that stand for its hardware.
paths = {"sysfs": "/lab/sysfs", "procfs": "/lab/proc", "render_node": None}

_SMALL = {
    "memory_max": "1G",
    "cpu_quota": "100%",
    # The lab's engines are Python programs; a real engine runs from /nix/store alone.
    "exec_paths": ["/nix/store", "/usr"],
    "egress": [],
    "drain_seconds": 30,
    "probe_seconds": 20,
    # Of three nodes one may be down and one may change.
    "floor": 1,
}
service_overrides = {"ollama": _SMALL, "comfyui": _SMALL}
