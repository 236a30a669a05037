"""What is left of the error budgets, as a monitor's Prometheus says it; the gateway does without where none answers."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipex_node.gateway import question

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipex_node.gateway.settings import Monitor

OBJECTIVES = 32
"""Rows kept at most."""
ANSWER_SECONDS = 3.0
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")


@dataclass(frozen=True)
class Budget:
    """What is left of one objective's error budget.

    Attributes:
        slo: The objective's name.
        service: The service it is for; empty where it is for all.
        left: Share of the budget that is left; below 0 the objective is missed.
    """

    slo: str
    service: str
    left: float


async def ask(monitors: Iterable[Monitor], path: str) -> tuple[Budget, ...] | None:
    """Ask one monitor after another; None where none of them knows."""
    for monitor in monitors:
        try:
            status, body = await question.get(monitor.address, monitor.port, path, ANSWER_SECONDS)
            budgets = _read(json.loads(body)) if status == 200 else ()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            continue
        if budgets:
            return budgets
    return None


def _read(answer: dict[str, Any]) -> tuple[Budget, ...]:
    """Read an instant vector. Source: Prometheus' HTTP API, /api/v1/query."""
    found = []
    for row in answer["data"]["result"]:
        slo, service = str(row["metric"]["slo"]), str(row["metric"].get("service", ""))
        left = float(row["value"][1])
        if _NAME.fullmatch(slo) and (not service or _NAME.fullmatch(service)) and math.isfinite(left):
            found.append(Budget(slo, service, left))
    return tuple(sorted(found, key=lambda budget: (budget.slo, budget.service))[:OBJECTIVES])
