"""What the health monitor must know at its next run, also after a reboot."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ipex_node import border, files
from ipex_node.failure import failed
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
        busy: Service to the number of runs in a row that could not prove it, for it was busy or only starting.
        looked: When the engines were last looked at, in seconds of the wall clock; 0 before the first time.
    """

    boot: str = ""
    sequence: int = -1
    spent: dict[str, list[Moment]] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    resets: dict[str, int] = field(default_factory=dict)
    incidents: list[Moment] = field(default_factory=list)
    busy: dict[str, int] = field(default_factory=dict)
    looked: float = 0.0


def now(paths: Paths) -> Moment:
    """Return this moment."""
    boot = paths.boot_id.read_text(encoding="ascii").strip() if paths.boot_id.exists() else ""
    return Moment(boot, time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


def load(paths: Paths) -> Memory:
    """Return what was kept; a file that is missing or damaged is a fresh start."""
    for path in (_spare(paths), paths.health_memory):
        try:
            return _memory(border.load(path))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
            continue
    return Memory()


def save(paths: Paths, memory: Memory) -> None:
    """Keep it, on the disk before this returns; where the disk takes nothing, in /run, so that the budget holds.

    Raises:
        FailedError: The disk has not taken it.
    """
    content = json.dumps(asdict(memory)).encode()
    try:
        files.write(paths.health_memory, content)
    except OSError as error:
        with contextlib.suppress(OSError):
            files.write(_spare(paths), content)
        cure = "make room there: until then a reboot forgets the restarts and resets of this boot"
        raise failed(str(paths.health_memory), f"cannot be written: {error.strerror}", cure) from error
    _spare(paths).unlink(missing_ok=True)


def _spare(paths: Paths) -> Path:
    """Return the place of a copy that is newer than the one on the disk, while there is one."""
    return paths.health / "memory.json"


def _memory(raw: dict[str, Any]) -> Memory:
    return Memory(
        boot=str(raw["boot"]),
        sequence=int(raw["sequence"]),
        spent={name: [_moment(one) for one in moments] for name, moments in raw["spent"].items()},
        restarts={name: int(number) for name, number in raw["restarts"].items()},
        resets={name: int(number) for name, number in raw["resets"].items()},
        incidents=[_moment(one) for one in raw["incidents"]],
        busy={name: int(number) for name, number in raw["busy"].items()},
        # Newer than the rest: what an older program has kept goes on counting.
        looked=float(raw.get("looked", 0)),
    )


def _moment(raw: dict[str, object]) -> Moment:
    return Moment(str(raw["boot"]), float(str(raw["up"])), float(str(raw["at"])))
