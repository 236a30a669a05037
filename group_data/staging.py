"""What differs in staging: smaller machines."""

environment = "staging"

service_overrides = {
    "ollama": {"memory_max": "4G"},
    "comfyui": {"memory_max": "8G", "cpu_quota": "400%"},
}
