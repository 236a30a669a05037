"""The security scan: `make security`."""
