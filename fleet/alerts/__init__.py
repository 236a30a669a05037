"""Every alert of a fleet: rows, and what the fleet's own data make of them."""

from collections.abc import Iterable, Mapping

from fleet.alerts import changes, engines, gateways, gpus, machines, monitoring, promises
from fleet.alerts.alert import Alert
from fleet.model import Fleet
from fleet.objectives import Objective
from fleet.thresholds import Thresholds

_ROWS = (*gateways.ROWS, *engines.ROWS, *gpus.ROWS, *machines.ROWS, *changes.ROWS, *monitoring.ROWS)
_MADE = ("ErrorBudgetBurnsFast", "ErrorBudgetBurnsSlowly", "UsersNearObjective", "ServiceBelowFloor", "GpuMissing")
NAMES = frozenset({*(row.name for row in _ROWS), *_MADE})
"""Every alert there is, whatever a fleet makes of it."""


def groups(fleet: Fleet, limits: Thresholds, objectives: Mapping[str, Objective]) -> dict[str, tuple[Alert, ...]]:
    """Every alert, by what it is about.

    Args:
        fleet: Whose.
        limits: From which point on somebody is told.
        objectives: What is promised.
    """
    promised = objectives.values()
    found: dict[str, Iterable[Alert]] = {
        "objectives": (*promises.burning(promised), *promises.crowded(promised)),
        "gateways": gateways.ROWS,
        "engines": (*engines.ROWS, *engines.below_floor(fleet)),
        "gpus": (*gpus.ROWS, *gpus.missing(fleet)),
        "machines": machines.ROWS,
        "changes": changes.ROWS,
        "monitoring": monitoring.ROWS,
    }
    words = limits.words() | _words(fleet)
    return {
        group: tuple(alert.filled(words) for alert in alerts if alert.name not in limits.without)
        for group, alerts in found.items()
    }


def _words(fleet: Fleet) -> dict[str, str]:
    queued = [service.name for service in fleet.services() if service.engine == "comfyui"]
    return {"nodes": str(len(fleet.nodes)), "queued": "|".join(queued)}
