"""Security updates of the distribution, and the reboots that some of them need."""
