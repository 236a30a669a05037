"""Bring the node up to date by itself: when it may, whether it is its turn, what it takes, what became of it."""
