"""What differs in staging: smaller machines."""

environment = "staging"

# Which releases it takes (channels/, docs/operate/releases.md); as long as the channel names none, `flake` of all.py.
channel = "beta"

# What `python -m tools.secrets init inventory/staging.py` makes: the encrypted file is committed, the identity that
# opens it is each operator's own. Public keys of all operators go into "recipients" (docs/operate/secrets.md).
secrets = {"file": "secrets/staging.age", "identity": "~/.config/ipex-fleet/identity.txt", "recipients": []}

service_overrides = {
    # One GPU node: nothing serves while it changes.
    "ollama": {"memory_max": "4G", "floor": 0},
    "comfyui": {"memory_max": "8G", "cpu_quota": "400%", "floor": 0},
}
