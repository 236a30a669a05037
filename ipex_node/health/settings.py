"""What the health monitor must know, written by the deploy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Health:
    """How the health monitor judges and repairs; the numbers are fleet/health.py's.

    Attributes:
        kernel_log: The kernel's log, a device or a plain file of its form.
        tries: Failures in a row that make a verdict.
        try_seconds: Between two tries.
        busy_runs: Runs in a row in which an engine may be too busy to be proved.
        leave_seconds: Longest wait for what is in flight on a condemned engine.
        restarts: Restarts of a service in one window at most.
        window_seconds: How long a restart, or a reset of a GPU, counts.
        backoff_seconds: Between the first restart and the second; it doubles.
        disk_share: Share of a file system above which the cleanup is asked for.
    """

    kernel_log: str
    tries: int
    try_seconds: float
    busy_runs: int
    leave_seconds: float
    restarts: int
    window_seconds: float
    backoff_seconds: float
    disk_share: float
