"""Intel's GPUs as their drivers show them, and what is measured of them for the agent. Starts at sampler.py."""
