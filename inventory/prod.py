"""Production: who is in the fleet. What the groups mean stands in group_data/."""

gpu_nodes = [
    ("gpu-01", {"ssh_hostname": "203.0.113.11"}),
    ("gpu-02", {"ssh_hostname": "203.0.113.12"}),
    # 64 GB of memory: the big models live here.
    (
        "gpu-03",
        {
            "ssh_hostname": "203.0.113.13",
            "node_overrides": {"ollama": {"memory_max": "32G", "models": ["tinyllama", "gemma3:27b"]}},
        },
    ),
]

gateways = [
    ("gateway-01", {"ssh_hostname": "203.0.113.21"}),
    ("gateway-02", {"ssh_hostname": "203.0.113.22"}),
]

monitors = [
    ("monitor-01", {"ssh_hostname": "203.0.113.31"}),
]
