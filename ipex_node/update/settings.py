"""What the update must know, written by the deploy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipex_node.update.windows import Calendar, calendar

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Updates:
    """How a node brings itself up to date; the numbers are fleet/updates.py's.

    Attributes:
        calendar: When it may.
        reserve_seconds: Nothing begins where less of the window is left.
        ask_seconds: Between two questions for a turn.
        semaphore: Address and port of whoever gives turns.
    """

    calendar: Calendar
    reserve_seconds: float
    ask_seconds: float
    semaphore: tuple[str, int]


@dataclass(frozen=True)
class Turns:
    """How turns are given.

    Attributes:
        port: Where it is asked.
        lease_seconds: How long a turn lasts at most.
        nodes: Who may ask, each with its address.
    """

    port: int
    lease_seconds: float
    nodes: Mapping[str, str]


def updates(raw: Mapping[str, Any]) -> Updates:
    """Read what settings say.

    Raises:
        KeyError, TypeError: They say something else.
    """
    semaphore = (str(raw["semaphore"]["address"]), int(raw["semaphore"]["port"]))
    numbers = (float(raw["reserve_seconds"]), float(raw["ask_seconds"]))
    return Updates(calendar(raw), *numbers, semaphore)
