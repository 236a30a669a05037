"""What the health monitor must know at its next run, also after a reboot."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from ipex_node import files
from ipex_node.health.budget import Moment

if TYPE_CHECKING:
    from pathlib import Path

    from ipex_node.paths import Paths


@dataclass
class Memory:
    """The monitor's memory.

    Attributes:
        boot: The boot whose kernel log was read last; empty before the first run.
        sequence: The last record of that log that was read; -1 is none.
        spent: Service to its restarts, the oldest first.
        restarts: Service to the number of all its restarts.
        resets: PCI address and kind, with a space between, to the number of such records.
        incidents: When GPUs were reset or hung.
        busy: Service to the number of runs in a row that found it busy and could not prove it.
    """

    boot: str = ""
    sequence: int = -1
    spent: dict[str, list[Moment]] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    resets: dict[str, int] = field(default_factory=dict)
    incidents: list[Moment] = field(default_factory=list)
    busy: dict[str, int] = field(default_factory=dict)


def now(paths: Paths) -> Moment:
    """Return this moment."""
    boot = paths.boot_id.read_text(encoding="ascii").strip() if paths.boot_id.exists() else ""
    return Moment(boot, time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


def load(path: Path) -> Memory:
    """Return what was kept; a file that is missing or damaged is a fresh start."""
    try:
        raw = json.loads(path.read_bytes())
        return Memory(
            boot=str(raw["boot"]),
            sequence=int(raw["sequence"]),
            spent={name: [_moment(one) for one in moments] for name, moments in raw["spent"].items()},
            restarts={name: int(number) for name, number in raw["restarts"].items()},
            resets={name: int(number) for name, number in raw["resets"].items()},
            incidents=[_moment(one) for one in raw["incidents"]],
            busy={name: int(number) for name, number in raw["busy"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return Memory()


def save(path: Path, memory: Memory) -> None:
    """Keep it, on the disk before this returns."""
    files.write(path, json.dumps(asdict(memory)).encode())


def _moment(raw: dict[str, object]) -> Moment:
    return Moment(str(raw["boot"]), float(str(raw["up"])), float(str(raw["at"])))
