"""How a GPU node's engines are judged and repaired, and when that stops."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_DOOR_SECONDS = 60
"""A restart by systemd: twice the TimeoutStopSec= of the engines' units."""
_ROOM_SECONDS = 60
"""The gateways, the log, the disks."""
_QUESTION_SECONDS = 4
"""The port and the API, before each proof: two seconds each."""


@dataclass(frozen=True)
class Health:
    """The health monitor of a GPU node.

    Attributes:
        calendar: when it runs (systemd.time(7), OnCalendar=).
        spread_seconds: how far the nodes are spread behind that time (RandomizedDelaySec=).
        tries: failures in a row that make a verdict.
        try_seconds: between two tries.
        busy_runs: runs in a row in which an engine may be too busy with users' work, or too young, to be proved.
        leave_seconds: how long work in flight on an engine that is out of rotation may take to end before the restart.
        restarts: restarts of one service in one window at most; then it stays out of rotation.
        window_seconds: how long a restart counts; a second reset of a GPU within it asks for a reboot; what was given
            up so long ago is this node's own illness, whatever fails elsewhere.
        backoff_seconds: between the first restart and the second; it doubles from one to the next.
        disk_share: share of a file system in use above which the cleanup is asked for.
        circuit_share: if more than this share of the nodes that run a service fail the same check, none repairs itself.
        circuit_nodes: at least so many nodes must fail it for that.
    """

    calendar: str
    spread_seconds: int
    tries: int
    try_seconds: int
    busy_runs: int
    leave_seconds: int
    restarts: int
    window_seconds: int
    backoff_seconds: int
    disk_share: float
    circuit_share: float
    circuit_nodes: int

    def longest_seconds(self, probe_seconds: list[int]) -> int:
        """How long a run may take in which every engine is judged, let go, restarted and proved, one after the other.

        Args:
            probe_seconds: what each engine has for its proof: it is asked before, without new work, and after.
        """
        # All tries together have the time of one proof; the last of the questions may begin just before its end. What
        # is in flight is asked for before and behind, on every engine.
        trying = self.tries * (self.try_seconds + _QUESTION_SECONDS)
        beside = trying + 2 * _QUESTION_SECONDS * (1 + len(probe_seconds)) + _DOOR_SECONDS
        return sum(3 * seconds + beside for seconds in probe_seconds) + self.leave_seconds + _ROOM_SECONDS


def nonsense(health: Health) -> Iterator[tuple[str, str]]:
    """What of it cannot be meant, each with its cure."""
    for fits, name, cure in (
        # systemd reads it whole when the generation is validated on the node; no value can begin another directive.
        (re.fullmatch(r"[A-Za-z0-9 ,*:/.~-]+", health.calendar), "calendar", "Write it like *:0/5."),
        (health.spread_seconds >= 0, "spread_seconds", "Write 0 or more."),
        (health.tries >= 1, "tries", "Write 1 or more."),
        (health.try_seconds >= 0, "try_seconds", "Write 0 or more."),
        (health.busy_runs >= 0, "busy_runs", "Write 0 or more."),
        (health.leave_seconds >= 0, "leave_seconds", "Write 0 or more."),
        (health.restarts >= 1, "restarts", "Write 1 or more: without any, nothing would be repaired."),
        (health.window_seconds >= 1, "window_seconds", "Write 1 or more."),
        (health.backoff_seconds >= 0, "backoff_seconds", "Write 0 or more."),
        (0 < health.disk_share < 1, "disk_share", "Write a share between 0 and 1, like 0.85."),
        (0 < health.circuit_share <= 1, "circuit_share", "Write a share above 0, up to 1."),
        (health.circuit_nodes >= 2, "circuit_nodes", "Write 2 or more: one node alone must repair itself."),
    ):
        if not fits:
            yield f"health.{name} is {getattr(health, name)!r}", cure
