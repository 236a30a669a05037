"""The optimizer on a node: caches of compiled code, models it makes itself, measured settings."""
