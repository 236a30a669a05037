"""Frees a node's disk of what nobody needs. Starts at run.py; what goes and what stays is decided in plan.py."""
