"""What differs in production."""

environment = "prod"

# Nobody is trusted on first sight: the fleet's host keys are committed beside the inventory.
ssh_strict_host_key_checking = "yes"

# As in all.py, but nobody changes all of production by accident: `--limit NODE`, or `--data confirm=prod`.
rollout = {"canaries": 1, "fractions": [0.25, 0.5], "lock_seconds": 900, "guard": "limit-or-confirm"}
