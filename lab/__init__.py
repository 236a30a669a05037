"""The fleet on one machine: real systemd, sshd and apt in containers, for demos, tests and measurements."""
