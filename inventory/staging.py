"""Staging: the same groups as production on fewer and smaller machines."""

gpu_nodes = [
    ("staging-gpu-01", {"ssh_hostname": "198.51.100.11"}),
]

gateways = [
    ("staging-edge-01", {"ssh_hostname": "198.51.100.21"}),
]

# The one box that is left does two jobs.
monitors = [
    ("staging-edge-01", {"ssh_hostname": "198.51.100.21"}),
]
