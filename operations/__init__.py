"""Change a node: one module per line of deploy.py."""
