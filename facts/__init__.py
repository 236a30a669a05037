"""Read a node."""
