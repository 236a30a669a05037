"""What differs in production."""

environment = "prod"

# Which releases it takes (channels/, docs/operate/releases.md); as long as the channel names none, `flake` of all.py.
channel = "stable"

# What `python -m tools.secrets init inventory/prod.py` makes: the encrypted file is committed, the identity that opens
# it is each operator's own. Public keys of all operators go into "recipients" (docs/operate/secrets.md).
secrets = {"file": "secrets/prod.age", "identity": "~/.config/ipex-fleet/identity.txt", "recipients": []}

# Nobody is trusted on first sight: the fleet's host keys are committed beside the inventory.
ssh_strict_host_key_checking = "yes"

# As in all.py, but nobody changes all of production by accident: `--limit NODE`, or `--data confirm=prod`.
rollout = {"canaries": 1, "fractions": [0.25, 0.5], "lock_seconds": 900, "guard": "limit-or-confirm"}

# What users know: one of the two gateways holds it, the other takes it within seconds.
floating = {"address": "203.0.113.20", "prefix": 24, "router_id": 51}
