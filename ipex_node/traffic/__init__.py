"""Measures what the engines do for their users. Starts at run.py."""
