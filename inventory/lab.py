"""The lab: six real nodes on this machine, booted by `make demo`. Addresses are RFC 2544's, for testing."""

gpu_nodes = [
    ("gpu-01", {"ssh_hostname": "198.18.0.11"}),
    ("gpu-02", {"ssh_hostname": "198.18.0.12"}),
    # Reached as an ordinary user with sudo, so that this way in is exercised too. It alone has a bigger model, so that
    # requests are told apart by their model; tests pull it.
    (
        "gpu-03",
        {
            "ssh_hostname": "198.18.0.13",
            "ssh_user": "operator",
            "_sudo": True,
            "node_overrides": {"ollama": {"models": ["tinyllama", "qwen3:30b"]}},
        },
    ),
]

gateways = [
    ("gateway-01", {"ssh_hostname": "198.18.0.21"}),
    ("gateway-02", {"ssh_hostname": "198.18.0.22"}),
]

monitors = [
    ("monitor-01", {"ssh_hostname": "198.18.0.31"}),
]
