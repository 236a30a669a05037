"""Keeps nginx' upstreams on a gateway as the GPU nodes want them. Starts at follow.py."""
