"""What may go from a node's disk, and when that is looked at."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

OUTPUTS = {"comfyui": ("output", "temp")}
"""Engine to the directories, below its state directory, of what it has made. Source: Comfy-Org/ComfyUI,
folder_paths.py: output holds what SaveImage saves, temp what PreviewImage shows."""


@dataclass(frozen=True)
class Cleanup:
    """What may go from a GPU node's disk; times in systemd's own spelling.

    Attributes:
        calendar: when it is cleaned up (systemd.time(7), OnCalendar=).
        spread: how far the nodes are spread around that time (RandomizedDelaySec=).
        outputs_days: age below which no file goes that an engine has made.
        staged_days: age below which no staged generation goes, nor what a stage that was cut off has left.
        rest_seconds: after a run, the next one that nobody asked for by hand waits so long, however full the disk.
    """

    calendar: str
    spread: str
    outputs_days: int
    staged_days: int
    rest_seconds: int


def nonsense(cleanup: Cleanup) -> Iterator[tuple[str, str]]:
    """What of it cannot be meant, each with its cure."""
    for fits, name, cure in (
        # systemd reads it whole when the generation is validated on the node; no value can begin another directive.
        (re.fullmatch(r"[A-Za-z0-9 ,*:/.~-]+", cleanup.calendar), "calendar", "Write it like Sun 03:00."),
        (re.fullmatch(r"[0-9]+(s|min|h|d)", cleanup.spread), "spread", "Write it like 2h."),
        (cleanup.outputs_days >= 1, "outputs_days", "Write 1 or more: users fetch what they have just made."),
        (cleanup.staged_days >= 1, "staged_days", "Write 1 or more: a rollout may be about to activate it."),
        (cleanup.rest_seconds >= 60, "rest_seconds", "Write 60 or more: a disk that stays full would be asked again."),
    ):
        if not fits:
            yield f"cleanup.{name} is {getattr(cleanup, name)!r}", cure
