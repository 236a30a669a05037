"""Where values become bad: the fleet's own objectives, and the thresholds of its alerts."""

from dataclasses import dataclass

from fleet import thresholds
from fleet.model import Fleet


@dataclass(frozen=True)
class Bounds:
    """Bounds of panels; None where nothing is promised.

    Attributes:
        first_byte_seconds: within which most answers must begin.
        users: how many must be served at the same time.
        gpu_celsius: where a GPU is too hot.
        gpu_memory_share: where a card's own memory is nearly used up.
        memory_share: the same of a machine's.
        disk_share: the same of a file system.
        backup_seconds: how old a backup may be.
    """

    first_byte_seconds: float | None = None
    users: int | None = None
    gpu_celsius: float | None = None
    gpu_memory_share: float | None = None
    memory_share: float | None = None
    disk_share: float | None = None
    backup_seconds: float | None = None


def of(fleet: Fleet) -> Bounds:
    """The fleet's bounds, as its first monitor has them; every monitor says the same."""
    monitor = fleet.with_role("monitors")[0]
    promised, alerts = monitor.objectives.values(), monitor.alerts
    return Bounds(
        first_byte_seconds=min((one.seconds for one in promised if one.seconds is not None), default=None),
        users=max((one.users for one in promised if one.users is not None), default=None),
        gpu_celsius=alerts.gpu_celsius if alerts else None,
        gpu_memory_share=alerts.gpu_memory_share if alerts else None,
        memory_share=alerts.memory_share if alerts else None,
        disk_share=alerts.disk_share if alerts else None,
        backup_seconds=thresholds.seconds(alerts.backup_age) if alerts else None,
    )
