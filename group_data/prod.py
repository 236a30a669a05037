"""What differs in production."""

environment = "prod"

# Nobody is trusted on first sight: the fleet's host keys are committed beside the inventory.
ssh_strict_host_key_checking = "yes"
