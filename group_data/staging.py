"""What differs in staging: smaller machines."""

environment = "staging"

service_overrides = {
    # One GPU node: nothing serves while it changes.
    "ollama": {"memory_max": "4G", "floor": 0},
    "comfyui": {"memory_max": "8G", "cpu_quota": "400%", "floor": 0},
}
